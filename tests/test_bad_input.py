"""Wrong input: the message says what, which value and what next; the code is right; nothing is left running."""

import json
import os
import shlex
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from leakcheck import cli

pytestmark = pytest.mark.share(2)

NOBODY = 65534
HERE = "GET http://127.0.0.1:{port}/"
MCP = "http://127.0.0.1:{port}/mcp"


def marked(token):
    """Command lines of the processes that have the token in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and token.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


@pytest.fixture
def audit(leakcheck, programs):
    """Run `leakcheck audit` with the words of one line; nothing may be left running and nothing may break."""

    def run(line, **options):
        token = f"leakcheck-test-{uuid.uuid4().hex}"
        words = [word.replace("PROGRAMS", str(programs)) for word in shlex.split(line)]
        done = leakcheck("audit", *words, env={"TEST_TOKEN": token, **options.pop("env", {})}, **options)
        assert marked(token) == []
        assert "Traceback" not in done.stderr
        return done

    return run


USAGE = [
    # what is given, and what the message must say: what, which value, what next
    ("", "No target", "after `--`", "--pid"),
    (
        "-- sleep 5{port}",
        "Nothing to make the target work with",
        "--mcp stdio",
        "--mcp http",
        "--drive",
        "--locustfile",
    ),
    ("--mcp stdio -- no-such-server", "'no-such-server' was not found", "check the spelling"),
    ("--mcp stdio -- ./nothing/server", "'./nothing/server' does not exist", "check the spelling"),
    ("--mcp stdio -- /tmp", "'/tmp' is a folder", "name the program"),
    ("--mcp stdio -- /etc/passwd", "'/etc/passwd' is not executable", "chmod +x"),
    ('--drive "true \'x" -- sleep 60', "--drive", "cannot be split into words"),
    ("--mcp foo -- sleep 5", "--mcp must be 'stdio' or a URL such as http://127.0.0.1:{port}/mcp", "'foo'"),
    ("--mcp http://10.1.2.3:80/mcp -- sleep 5", "--mcp 'http://10.1.2.3:80/mcp' is another machine", "127.0.0.1"),
    ("--mcp http://127.0.0.1:99999/mcp -- sleep 5", "--mcp 'http://127.0.0.1:99999/mcp' is no URL"),
    ("--mcp http://me:word@127.0.0.1:9/mcp -- sleep 5", "--mcp holds credentials in its URL", "--header"),
    (f"--mcp '{MCP}' --pid 1", "{port} is for a command that is started here", "the process's own port"),
    (f"--mcp '{MCP}' --request '{HERE}' -- sleep 5", "--mcp and --request exclude each other"),
    (f"--mcp '{MCP}' --session-idle soon -- sleep 5", "--session-idle must be a time such as 60s", "'soon'"),
    (f"--mcp '{MCP}' --session-limit 0 -- sleep 5", "--session-limit must be at least 1, not 0"),
    (f"--mcp '{MCP}' --header 'Content-Length: 3' -- sleep 5", "'Content-Length' is set by leakcheck", "leave it out"),
    ("--mcp stdio --session-idle 5s -- sleep 5", "--session-idle 5s speaks of MCP sessions over HTTP", "--mcp http"),
    ("--drive true --session-limit 9 -- sleep 5", "--session-limit 9 speaks of MCP sessions over HTTP", "leave it out"),
    ("--locustfile nothing.py -- sleep 5", "--locustfile 'nothing.py' is no file", "give one that exists"),
    ("--locustfile . --drive true -- sleep 5", "--drive and --locustfile exclude each other"),
    ("--locustfile /etc/hostname --host example.org -- sleep 5", "--host must be an http:// or https:// URL"),
    ("--locustfile /etc/hostname --host http://example.org -- sleep 5", "--host", "another machine"),
    ("--locustfile /etc/hostname --tool x -- sleep 5", "--tool x speaks of MCP tools", "--mcp URL"),
    ("--drive true --host http://127.0.0.1:1 -- sleep 5", "--host http://127.0.0.1:1 is for the users of a locustfile"),
    ("--mcp stdio --pid 1", "--mcp stdio needs the server's stdin", "after `--`"),
    ("--mcp stdio --budget abc -- sleep 5", "--budget must be a time such as 60s", "'abc'"),
    ("--mcp stdio --budget 0s -- sleep 5", "--budget must be a time", "'0s'"),
    ("--mcp stdio --ready-timeout soon -- sleep 5", "--ready-timeout must be a time", "'soon'"),
    ("--mcp stdio --rounds 8 --budget 5s -- sleep 5", "--rounds 8", "--budget 5s", "give one of them"),
    ("--mcp stdio --rounds 3 -- sleep 5", "--rounds must be at least 4, not 3"),
    ("--mcp stdio --operations 0 -- sleep 5", "--operations must be at least 1, not 0"),
    ("--mcp stdio --rounds many -- sleep 5", "Invalid value for '--rounds'", "valid integer"),
    ("--mcp stdio --bogus -- sleep 5", "No such option: --bogus", "--help"),
    ("--mcp stdio --drive true -- sleep 5", "--mcp and --drive exclude each other"),
    ("--mcp stdio --pid 1 -- sleep 5", "--pid 1 and a command exclude each other"),
    ("--mcp stdio --cwd /nowhere -- sleep 5", "--cwd '/nowhere' is no folder", "give one that exists"),
    ("--mcp stdio --arguments add={a} -- sleep 5", "--arguments", "not JSON"),
    ("--mcp stdio --arguments add=3 -- sleep 5", "--arguments must be TOOL=JSON with a JSON object", "'add=3'"),
    ("--mcp stdio --env NOTHING -- sleep 5", "--env must be 'NAME=VALUE'", "number 1"),
    (f"--request '{HERE}' --header 'X: $NOT_SET_HERE' -- sleep 5", "no variable 'NOT_SET_HERE'", "export it first"),
    ("--request 'GET http://10.1.2.3:80/' -- sleep 5", "another machine", "'http://10.1.2.3:80/'", "127.0.0.1"),
    ("--request 'FETCH http://127.0.0.1/' -- sleep 5", "'METHOD URL'", "GET", "'FETCH http://127.0.0.1/'"),
    (f"--request '{HERE}' --metrics http://example.org/m -- sleep 5", "--metrics", "another machine"),
    (f"--request '{HERE}' --tool x -- sleep 5", "--tool x speaks of MCP tools", "--mcp stdio"),
    ("--drive true --pid 4194305", "There is no process 4194305", "ps -ef"),
    ("--drive true --pid 1 --cwd /", "--env and --cwd are for a target that is started here", "leave them out"),
]
STARTED = [
    ("--mcp stdio -- python PROGRAMS/mcp_bad.py exit", "ended with exit code 3", "no licence found"),
    ("--mcp stdio --ready-timeout 1s -- python PROGRAMS/mcp_bad.py silent", "within 1 s", "raise --ready-timeout"),
    ("--mcp stdio -- python PROGRAMS/mcp_bad.py chatter", "answered garbage: 'log line 0'", "Run the command by hand"),
    ("--mcp stdio -- python PROGRAMS/mcp_bad.py refuse", "refused initialize", "go away", "start a server that speaks"),
    (f"--request '{HERE}' --ready-timeout 1s -- sleep 60", "nothing listens on 127.0.0.1:", "after 1 s", "{port}"),
    (f"--request '{HERE}' -- sh -c 'echo no luck; exit 3'", "exit code 3", "check COMMAND", "no luck"),
    ("--request 'GET http://127.0.0.1:9/' --ready-timeout 1s --pid SELF", "nothing listens on 127.0.0.1:9"),
    (f"--mcp '{MCP}' --ready-timeout 1s -- sleep 60", "nothing listens on 127.0.0.1:", "after 1 s", "{port}"),
    (f"--mcp '{MCP}' -- sh -c 'echo no luck; exit 3'", "exit code 3", "check COMMAND", "no luck"),
    (
        f"--mcp '{MCP}' --ready-timeout 2s -- python PROGRAMS/http_service.py {{port}}",
        "speaks HTTP, but POST /mcp is not answered as MCP",
        "check the path of --mcp",
    ),
    (
        f"--mcp '{MCP}' -- python PROGRAMS/http_odd.py {{port}} garbage",
        "answers, but not HTTP",
        "check port and scheme of --mcp",
    ),
    (
        f"--mcp '{MCP}' --ready-timeout 1s -- python PROGRAMS/http_odd.py {{port}} silent",
        "takes connections, but POST /mcp has no answer after 1 s",
        "raise --ready-timeout",
    ),
    ("--locustfile PROGRAMS/mcp_bad.py -- sleep 60", "--locustfile ", "mcp_bad.py"),
    ("--drive no-such-load -- sleep 60", "'no-such-load'", "check its path"),
    ("--drive false --ready-timeout 1s -- sleep 60", "did not exit with 0 within 1 s", "run it by hand"),
    ("--mcp http://127.0.0.1:9/mcp --ready-timeout 1s --pid SELF", "nothing listens on 127.0.0.1:9"),
    (
        f"--mcp '{MCP}' --tool nope -- python PROGRAMS/mcp_target_http.py {{port}}",
        "--tool nope",
        "no such tool",
        "it has echo, nap, add, forget",
    ),
    (
        "--mcp stdio --tool nope -- python PROGRAMS/mcp_good.py --only=echo",
        "--tool nope",
        "no such tool",
        "it has echo",
    ),
]


@pytest.mark.parametrize(("line", "words"), [(line, words) for line, *words in USAGE], ids=[row[0] for row in USAGE])
def test_wrong_usage_exits_2_and_says_what_to_do(line, words, tmp_path, monkeypatch, capsys):
    """In this process: a new one takes half a second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["leakcheck", "audit", *shlex.split(line)])
    with pytest.raises(SystemExit) as ending:
        cli.main()
    assert ending.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    for word in words:
        assert word in err


@pytest.mark.parametrize(
    ("line", "words"), [(line, words) for line, *words in STARTED], ids=[row[0] for row in STARTED]
)
def test_a_server_that_is_none_exits_2_and_says_what_to_do(line, words, audit):
    done = audit(line.replace("SELF", str(os.getpid())))
    assert done.returncode == 2
    assert done.stdout == ""
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("option", ["--request 'GET URL'", "--mcp URL", "--locustfile /etc/hostname --host URL"])
def test_a_port_that_is_taken_is_said_before_the_target_is_started(option, audit, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/path"
        done = audit(f"{option.replace('URL', url)} -- touch {tmp_path}/started")
    assert done.returncode == 2
    assert f"The port of '{url}' is taken" in done.stderr
    assert "'http://127.0.0.1:{port}/path'" in done.stderr
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    ("line", "ending"),
    [
        ("--mcp stdio --out a -- python PROGRAMS/mcp_good.py --only=echo --dies-after=40", "exit code 7"),
        (
            "--request 'GET http://127.0.0.1:{port}/die' --out a -- python PROGRAMS/http_service.py {port}",
            "exit code 3",
        ),
        (f"--mcp '{MCP}' --out a -- python PROGRAMS/mcp_target_http.py {{port}} dies", "exit code 7"),
    ],
    ids=["stdio", "http", "mcp over http"],
)
def test_a_server_that_dies_in_the_middle_is_kept_and_said_and_never_clean(line, ending, audit, tmp_path):
    done = audit(f"--rounds 20 --operations 20 {line}")
    assert done.returncode in {1, 3}
    assert "The target died on the way" in done.stdout
    assert ending in done.stdout
    document = json.loads((tmp_path / "a/audit.json").read_text())
    assert document["tool"]["ended"] == "target died"
    assert document["verdict"] != "clean"
    assert "The target died on the way" in (tmp_path / "a/report.html").read_text()


@pytest.mark.parametrize("waited", [True, False], ids=["gone", "zombie"])
def test_a_pid_that_ends_in_the_middle_is_said_and_never_clean(waited, leakcheck, tmp_path, programs):
    parent = (
        "python",
        "-c",
        "import subprocess, sys; p = subprocess.Popen(['sleep', '1000']); print(p.pid, flush=True)",
    )
    wait = "\nwhile True: p.wait() if len(sys.argv) > 1 else None; sys.stdin.read() and 0 or sys.exit()"
    with subprocess.Popen(
        [*parent[:2], parent[2] + wait, *(["waits"] if waited else [])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as mother:
        pid = int(mother.stdout.readline())
        load = f"sh -c 'test -e third && kill {pid}; test -e second && touch third; touch second'"
        done = leakcheck("audit", "--drive", f"{load[:-1]}; true'", "--out", "a", "--budget", "20s", "--pid", pid)
        mother.stdin.close()
    assert done.returncode == 3, done.stderr
    assert "The target died on the way" in done.stdout
    assert json.loads((tmp_path / "a/audit.json").read_text())["verdict"] == "undecided"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("what", ["pid", "folder"])
def test_what_belongs_to_somebody_else_is_refused_by_name(what, tmp_path):
    tmp_path.chmod(0o755)
    for folder in (tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    mine = tmp_path / "mine"
    mine.mkdir()
    os.chown(mine, NOBODY, NOBODY)
    as_nobody = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    if subprocess.run([*as_nobody, sys.executable, "-c", "import leakcheck"], cwd="/", check=False).returncode:
        pytest.skip(f"{sys.executable} lies in a folder that other users may not read: none of them can run leakcheck")
    folder = mine if what == "pid" else tmp_path
    done = subprocess.run(
        [*as_nobody, "leakcheck", "audit", "--drive", "true", "--out", str(folder / "a"), "--pid", str(os.getpid())],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    if what == "pid":
        assert f"Process {os.getpid()} belongs to user root; run as that user or as root" in done.stderr
    else:
        assert f"The folder '{folder / 'a'}' cannot be written (Permission denied)" in done.stderr
        assert "--out" in done.stderr


def test_a_folder_that_holds_an_audit_is_not_written_over_and_one_that_never_began_is(audit, tmp_path):
    first = audit("--mcp stdio --out a -- no-such-server")
    assert first.returncode == 2
    second = audit("--drive true --rounds 4 --operations 1 --out a -- sleep 1000")
    assert second.returncode == 3, second.stdout
    before = (tmp_path / "a/audit.json").read_bytes()
    third = audit("--drive true --out a -- sleep 1000")
    assert third.returncode == 2
    assert "'a' holds an audit already; give another folder with --out" in third.stderr
    assert (tmp_path / "a/audit.json").read_bytes() == before


def test_a_disk_that_is_full_ends_the_audit_with_a_message(audit, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import resource, sys\n"
        "if sys.argv[0].endswith('leakcheck'):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))\n"
    )
    done = audit("--drive true --out b -- sleep 1000", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2
    assert "'b/journal.jsonl' cannot be written (File too large)" in done.stderr
    assert "make room" in done.stderr


def test_the_reference_server_without_its_extra_says_how_to_install_it(audit, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('mcp', 'faiss'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    done = audit("--mcp stdio -- mimo-server", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2
    assert "ended with exit code 2" in done.stderr
    assert "pip install 'mimo-leakcheck[server]'" in done.stderr


@pytest.mark.parametrize("option", ["--mcp http://127.0.0.1:9/mcp", "--locustfile /etc/hostname"])
def test_a_load_without_its_extra_says_how_to_install_it(option, audit, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'locust' else real(name, *rest)\n"
    )
    done = audit(f"{option} -- sleep 60", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2
    assert "needs Locust, which is not installed: pip install 'mimo-leakcheck[load]'" in done.stderr


def test_another_platform_than_linux_is_one_sentence():
    code = "import sys; sys.platform = 'darwin'; from leakcheck.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "/proc, which darwin has not; run it on Linux" in done.stderr


def test_a_fault_of_our_own_is_no_verdict():
    code = (
        "import sys; sys.argv[1:] = ['probes']; from leakcheck import inspection; from leakcheck.__main__ import main\n"
        "def broken(*_, **__): raise RuntimeError('broken')\n"
        "inspection.show = broken\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "RuntimeError: broken" in done.stderr
    assert "no verdict" in done.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ("holds neither audit.json nor journal.jsonl", "give the folder that an audit wrote")),
        ({"audit.json": '{"schema": 7}'}, ("has schema 7", "reads 1", "use the version that wrote it")),
        ({"audit.json": "{}"}, ("has schema None",)),
        ({"audit.json": '{"schema": 1}'}, ("does not fit schema 1",)),
        ({"audit.json": "{"}, ("is not JSON", "journal.jsonl' instead")),
        ({"journal.jsonl": ""}, ("holds no plan",)),
        ({"journal.jsonl": '{"event":"odd"}\n{"event":"odd"}\n'}, ("Line 1 of 'd/journal.jsonl'", "schema 1")),
    ],
    ids=["empty", "other schema", "no schema", "half an audit", "no JSON", "empty journal", "odd journal"],
)
def test_a_report_of_what_is_no_audit_is_refused(content, words, tmp_path, monkeypatch, capsys):
    (tmp_path / "d").mkdir()
    for name, text in (content or {}).items():
        (tmp_path / "d" / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["leakcheck", "report", "d"])
    with pytest.raises(SystemExit) as ending:
        cli.main()
    assert ending.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    for word in words:
        assert word in err


def test_probes_of_a_pid_that_is_gone_are_refused(leakcheck):
    done = leakcheck("probes", "--pid", 4194305)
    assert done.returncode == 2
    assert "There is no process 4194305" in done.stderr
