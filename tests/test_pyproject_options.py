"""Options from [tool.leakcheck] of pyproject.toml, what the command line overrules, and `{port}`."""

import json
import sys

import pytest

from leakcheck import config, project
from leakcheck.errors import UsageError

MCP = "http://127.0.0.1:{port}/mcp"
SERVER = """
import os, sys, http.server
print("cwd", os.getcwd(), "PORT", os.environ["PORT"], "NAME", os.environ.get("NAME"), "argv", sys.argv[1:], flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"# TYPE entries gauge\\nentries 3\\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def merged(tmp_path, text, **given):
    (tmp_path / "pyproject.toml").write_text(text)
    return project.merged(config.Options(**given), tmp_path / "pyproject.toml")


def test_every_option_can_stand_in_pyproject(tmp_path):
    options = merged(
        tmp_path,
        """
        [tool.leakcheck]
        command = "server --port '{port}'"
        mcp = "stdio"
        tool = ["one", "two"]
        allow-open-world = true
        undo = "forget"
        budget = 30
        ready-timeout = "3s"
        operations = 4
        exclude = "memory"
        """,
    )
    assert options == config.Options(
        command=("server", "--port", "{port}"),
        mcp="stdio",
        tool=("one", "two"),
        allow_open_world=True,
        undo=("forget",),
        budget="30",
        ready_timeout="3s",
        operations=4,
        exclude=("memory",),
    )


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ('budget = "9s"', {"budget": "5s"}, {"budget": "5s"}),
        ('budget = "9s"', {"rounds": 8}, {"rounds": 8, "budget": None}),
        ("rounds = 8", {"budget": "5s"}, {"rounds": None, "budget": "5s"}),
        (f'mcp = "{MCP}"\nsession_idle = "5s"', {"mcp": "stdio"}, {"mcp": "stdio", "session_idle": None}),
        (f'mcp = "{MCP}"\nsession-limit = 9', {"mcp": "http://[::1]:9/"}, {"session_limit": 9}),
        (f'mcp = "{MCP}"\nsession-limit = 9', {"drive": "true"}, {"mcp": None, "session_limit": None}),
        ('locustfile = "a.py"\nhost = "http://[::1]:9"', {"mcp": MCP}, {"locustfile": None, "host": None}),
        ('locustfile = "a.py"\nhost = "h"', {"locustfile": "b.py"}, {"locustfile": "b.py", "host": "h"}),
        (f'mcp = "{MCP}"\ntool = ["x"]', {"locustfile": "b.py"}, {"mcp": None, "tool": ()}),
        ('mcp = "stdio"\ntool = ["x"]', {"drive": "true"}, {"mcp": None, "drive": "true", "tool": ()}),
        ('request = ["GET http://127.0.0.1/"]', {"mcp": "stdio"}, {"mcp": "stdio", "request": ()}),
        ('command = "a b"\ncwd = "/"\nenv = ["A=1"]', {"pid": 7}, {"command": (), "pid": 7, "cwd": None, "env": ()}),
        ("pid = 7", {"command": ("a",)}, {"command": ("a",), "pid": None}),
        ("allow_destructive = true", {"allow_destructive": False}, {"allow_destructive": False}),
    ],
)
def test_the_command_line_wins(text, given, expected, tmp_path):
    options = merged(tmp_path, f"[tool.leakcheck]\n{text}\n", **given)
    assert {name: getattr(options, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.leakcheck]\nbugdet = '5s'", ("Unknown key 'bugdet'", "known: ", "budget")),
        ("[tool.leakcheck]\nrounds = 'many'", ("'rounds' in [tool.leakcheck] must be of type int", "'many'")),
        ("[tool.leakcheck]\nrounds = true", ("must be of type int", "True")),
        ("[tool.leakcheck]\nallow-open-world = 1", ("must be of type bool", "not 1")),
        ("[tool.leakcheck]\ntool = [1]", ("must be a list of strings", "[1]")),
        ('[tool.leakcheck]\ncommand = "a \'b"', ("'command' in [tool.leakcheck]", "cannot be split")),
        ("[tool]\nleakcheck = 3", ("must be a table [tool.leakcheck]", "not 3")),
        ("[tool.leakcheck", ("cannot be read as TOML", "correct it")),
    ],
)
def test_a_wrong_table_is_refused_with_key_value_and_cure(text, words, tmp_path):
    with pytest.raises(UsageError) as refusal:
        merged(tmp_path, text)
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize("text", ["", "[tool.other]\na = 1", "tool = 3"])
def test_a_file_without_the_table_says_nothing(text, tmp_path):
    assert merged(tmp_path, text, mcp="stdio") == config.Options(mcp="stdio")


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ({"command": ("my-server", "--quiet")}, "stdio"),
        ({"command": ("my-server",), "tool": ("store",)}, "stdio"),
        ({"command": ("my-server",), "drive": "true"}, "command"),
        ({"command": ("my-server", "--port={port}"), "request": ("GET http://127.0.0.1:{port}/",)}, "http"),
    ],
)
def test_a_command_that_stands_alone_is_an_mcp_server_over_stdio(tmp_path, given, driver):
    assert config.plan(config.Options(**given), 1, tmp_path).plan.driver == driver


@pytest.mark.parametrize("given", [{"pid": 1}, {"command": ("my-server", "--port={port}")}])
def test_a_port_and_a_process_that_runs_already_must_say_how_they_work(tmp_path, given):
    with pytest.raises(UsageError, match="Nothing to make the target work with"):
        config.plan(config.Options(**given), 1, tmp_path)


def test_an_audit_takes_its_options_from_pyproject_and_fills_the_port_everywhere(leakcheck, tmp_path):
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "pyproject.toml").write_text(
        f"""
        [tool.leakcheck]
        command = [{sys.executable!r}, "{tmp_path}/server.py", "at", "{{port}}"]
        request = ["GET http://127.0.0.1:{{port}}/x"]
        metrics = "http://127.0.0.1:{{port}}/metrics"
        env = ["NAME=value of {{port}}"]
        cwd = "elsewhere"
        rounds = 20
        operations = 4
        exclude = ["memory", "heap"]
        name = "from the file"
        """
    )
    done = leakcheck("audit", "--rounds", "8", "--out", "a", "--name", "from the command line")
    assert done.returncode == 0, done.stderr + done.stdout
    audit = json.loads((tmp_path / "a/audit.json").read_text())
    assert audit["plan"]["name"] == "from the command line"
    assert audit["plan"]["rounds"] == 8
    assert audit["plan"]["requests"][0]["url"] == "http://127.0.0.1:{port}/x"
    port = audit["target"]["command"][-1]
    assert port.isdigit()
    log = (tmp_path / "a/target.log").read_text()
    assert f"cwd {tmp_path}/elsewhere PORT {port} NAME value of {{port}} argv ['at', '{port}']" in log
    assert any(finding["resource"] == "metric.entries" for finding in audit["findings"])


def test_the_port_reaches_the_command_of_drive_and_the_environment_of_both(leakcheck, tmp_path):
    (tmp_path / "server.py").write_text(SERVER)
    load = f"{sys.executable} -c \"import os,urllib.request as r; r.urlopen('http://127.0.0.1:{{port}}/').read();"
    load += "assert os.environ['PORT'] == '{port}' and os.environ['NAME'] == 'n'\""
    few = ("--rounds", "4", "--operations", "1")
    done = leakcheck("audit", "--drive", load, "--env", "NAME=n", *few, "--out", "a", "--", sys.executable, "server.py")
    assert done.returncode in {0, 3}, done.stderr
    audit = json.loads((tmp_path / "a/audit.json").read_text())
    assert sum(sum(one["failed"].values()) for one in audit["rounds"]) == 0
    assert "{port}" in " ".join(audit["plan"]["drive"])


def test_a_port_that_the_user_sets_is_kept(leakcheck, tmp_path):
    (tmp_path / "server.py").write_text("import os; raise SystemExit(os.environ.get('PORT', 'none'))")
    done = leakcheck("audit", "--drive", "true", "--env", "PORT=81", "--out", "a", "--", sys.executable, "server.py")
    assert done.returncode in {2, 3}
    assert (tmp_path / "a/target.log").read_text() == "81\n"
