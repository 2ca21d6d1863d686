"""The contract of the command line and its files."""

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import typer.main

import leakcheck as package
from leakcheck import cli, config
from leakcheck.render._reproduce import command_line
from leakcheck.store import read_audit

pytestmark = pytest.mark.share(3)

SCHEMA = json.loads(files("leakcheck").joinpath("schema/audit.schema.json").read_text())
FINDING = {
    *("resource", "verdict", "shape", "operation", "rate", "detectable", "forecast", "evidence", "suspects"),
    "fingerprint",
}
TOP = {"schema", "tool", "environment", "plan", "target", "rounds", "verdict", "warnings", "findings"}
PROGRAMS = Path(__file__).parent / "programs"


def run(folder, *arguments, **options):
    return subprocess.run(
        ["leakcheck", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        stdin=subprocess.DEVNULL,
        check=False,
        **options,
    )


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """One small audit of each kind, made once; nobody writes into these folders."""
    folder = tmp_path_factory.mktemp("audits")
    port = ("--", sys.executable, PROGRAMS / "http_service.py", "{port}")
    few = ("--rounds", "8", "--operations", "4", "--exclude", "heap")
    request = ("--request", "GET http://127.0.0.1:{port}/")
    return folder, {
        "stdio": run(
            folder,
            "audit",
            "--mcp",
            "stdio",
            *few,
            "--out",
            "stdio",
            "--",
            sys.executable,
            PROGRAMS / "mcp_good.py",
            "--only=echo",
        ),
        "http": run(folder, "audit", *request, *few, "--exclude", "memory", "--out", "http", *port),
        "drive": run(folder, "audit", "--drive", "true", *few, "--json", "--out", "drive", "--", "sleep", "1000"),
    }


@pytest.fixture
def copied(audited, tmp_path):
    """A journal of its own."""
    folder, _ = audited
    (tmp_path / "a").mkdir()
    (tmp_path / "a/journal.jsonl").write_bytes((folder / "http/journal.jsonl").read_bytes())
    return tmp_path


@pytest.mark.parametrize("kind", ["stdio", "http", "drive"])
def test_an_audit_leaves_its_four_files_and_they_say_the_same(kind, audited):
    folder, done = audited[0] / kind, audited[1][kind]
    assert {"audit.json", "journal.jsonl", "report.html", "target.log"} <= {path.name for path in folder.iterdir()}
    audit = json.loads((folder / "audit.json").read_text())
    jsonschema.validate(audit, SCHEMA)
    assert set(audit) >= TOP
    assert all(set(finding) >= FINDING for finding in audit["findings"])
    assert audit["schema"] == 1
    assert audit["tool"]["ended"] == "finished"
    assert done.returncode == {"clean": 0, "leak": 1, "undecided": 3, "not_judged": 3}[audit["verdict"]]
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    events = [json.loads(line)["event"] for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert events[:3] == ["plan", "target", "snapshot"]
    assert events[-1] == "end"
    assert events.count("snapshot") == len(audit["rounds"]) == 12
    assert "Traceback" not in done.stderr


def test_clean_is_0_and_undecided_is_3(audited):
    assert audited[1]["http"].returncode == 0, audited[1]["http"].stdout
    assert audited[1]["drive"].returncode == 3


def test_a_leak_is_1(tmp_path):
    """The server's only child gets a new one from each run of the load."""
    code = "import signal, subprocess; signal.signal(signal.SIGUSR1, lambda *_: subprocess.Popen(['sleep', '99']))\n"
    code += "open('pid', 'w').write(str(__import__('os').getpid()))\nwhile True: signal.pause()"
    load = "sh -c 'kill -USR1 $(cat pid)'"
    few = ("--rounds", "12", "--operations", "2", "--grace", "1s")
    done = run(tmp_path, "audit", "--drive", load, *few, "--out", "a", "--", sys.executable, "-c", code)
    assert done.returncode == 1, done.stdout
    audit = json.loads((tmp_path / "a/audit.json").read_text())
    jsonschema.validate(audit, SCHEMA)
    found = {finding["resource"]: finding for finding in audit["findings"]}["processes"]
    assert found["verdict"] == "leak"
    assert found["operation"] == "drive"


def test_json_is_all_that_stands_on_standard_output(audited):
    folder, done = audited[0] / "drive", audited[1]["drive"]
    assert done.stdout == (folder / "audit.json").read_text()


def test_without_a_terminal_each_round_is_one_line_of_standard_error(audited):
    lines = [line for line in audited[1]["http"].stderr.splitlines() if line.startswith("round ")]
    assert len(lines) == 12
    assert lines[-1].startswith("round 11/11 judged")


def test_a_report_from_the_journal_alone_is_the_audit_itself(audited, copied):
    done = run(copied, "report", "a")
    assert done.returncode == 0
    for name in ("audit.json", "report.html"):
        assert (copied / "a" / name).read_bytes() == (audited[0] / "http" / name).read_bytes()
    again = run(copied, "report", "a/audit.json", "--json")
    assert again.stdout == (copied / "a/audit.json").read_text()


def test_a_last_line_that_was_cut_off_is_left_out(copied):
    journal = copied / "a/journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-40])
    done = run(copied, "report", "a")
    assert done.returncode == 0
    assert "The auditor was killed on the way" in done.stdout
    jsonschema.validate(json.loads((copied / "a/audit.json").read_text()), SCHEMA)


def test_damage_elsewhere_is_an_error_that_names_the_line(copied):
    journal = copied / "a/journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[4] = lines[4][:50] + b"\n"
    journal.write_bytes(b"".join(lines))
    done = run(copied, "report", "a")
    assert done.returncode == 2
    assert "Line 5 of 'a/journal.jsonl'" in done.stderr
    assert not (copied / "a/audit.json").exists()


def test_each_event_is_in_the_journal_when_it_is_told(tmp_path):
    command = ["leakcheck", "audit", "--drive", "true", "--budget", "30s", "--out", "a", "--", "sleep", "1000"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as audit:
        for line in audit.stderr:
            if line.startswith("round 3"):
                break
        events = [json.loads(line) for line in (tmp_path / "a/journal.jsonl").read_text().splitlines()]
        assert sum(event["event"] == "snapshot" for event in events) >= 4
        audit.send_signal(signal.SIGINT)
        audit.stderr.read()
    assert audit.returncode == 130


@pytest.mark.parametrize("arguments", [("report", "http"), ("report", "http", "--json"), ("probes", "--json")])
def test_a_reader_who_leaves_early_is_no_error(arguments, audited):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        done = subprocess.run(
            ["leakcheck", *arguments], cwd=audited[0], stdout=gone, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["leakcheck report http", "leakcheck report --json http", "leakcheck --help"])
def test_a_standard_output_that_is_full_or_closed_is_no_verdict(audited, command, unbuffered):
    more = {"cwd": audited[0], "capture_output": True, "env": {**os.environ, "PYTHONUNBUFFERED": unbuffered}}
    full = subprocess.run(f"{command} >/dev/full", shell=True, check=False, **more)
    assert full.returncode == 2
    assert full.stderr.count(b"Standard output cannot be written (No space left on device)") == 1
    closed = subprocess.run(f"{command} >&-", shell=True, check=False, **more)
    assert closed.returncode == 0
    assert closed.stderr == b""


def test_two_audits_stand_side_by_side(audited):
    done = run(audited[0], "compare", "stdio", "http", env={**os.environ, "COLUMNS": "80"})
    assert done.returncode == 0
    assert "mcp_good.py" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_the_schema_and_the_templates_are_installed():
    installed = files("leakcheck")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for name in ("render/templates/report.html.jinja", "render/templates/report.css", "py.typed", "targets/reaper.py"):
        assert installed.joinpath(name).is_file(), name


@pytest.mark.parametrize("command", [["leakcheck"], ["mimo-leakcheck"], [sys.executable, "-P", "-m", "leakcheck"]])
def test_the_version_is_printed(command):
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"leakcheck {package.__version__}\n"


@pytest.mark.parametrize("command", [(), ("audit",), ("report",), ("compare",), ("probes",)])
def test_help_fits_80_columns_and_its_examples_stand_as_written(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["leakcheck", *command, "--help"])
    with pytest.raises(SystemExit) as ending:
        cli.main()
    assert ending.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    if command == ("audit",):
        assert '        --request \'POST http://127.0.0.1:{port}/items {"name": "x"}\' \\' in [
            line[2:] for line in lines
        ]


def test_the_command_that_is_said_to_repeat_an_audit_does(audited, tmp_path):
    audit = read_audit(audited[0] / "http/audit.json")
    line = command_line(audit.plan)
    assert "{port}" in line
    options = typer.main.get_command(cli.app).commands["audit"].params
    known = {name for option in options for name in option.opts}
    assert {word for word in line.partition(" -- ")[0].split() if word.startswith("--")} <= known
    done = subprocess.run(line, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (again,) = (tmp_path / ".leakcheck").glob("*/audit.json")
    repeated = read_audit(again)
    assert command_line(repeated.plan) == line
    assert [one.fingerprint for one in repeated.findings] == [one.fingerprint for one in audit.findings]


def test_every_option_of_a_plan_is_repeated_by_a_name_that_exists(monkeypatch, tmp_path):
    monkeypatch.setenv("MY_VALUE", "value")
    options = config.Options(
        command=("server", "{port}"),
        mcp="stdio",
        metrics="http://127.0.0.1:{port}/metrics",
        tool=("one",),
        allow_open_world=True,
        allow_destructive=True,
        arguments=('one={"a":1}',),
        undo=("two",),
        header=("X-Key: $MY_VALUE",),
        env=("NAME=$MY_VALUE",),
        cwd="/",
        rounds=8,
        operations=4,
        ready_timeout="3s",
        grace="1s",
        skip=("cancel",),
        exclude=("memory",),
        require=("zombies",),
        seed=7,
        out="x",
    )
    plan = config.plan(options, 1234, tmp_path).plan
    known = {name for option in typer.main.get_command(cli.app).commands["audit"].params for name in option.opts}
    words = command_line(plan).partition(" -- ")[0].split()
    given = {word for word in words if word.startswith("--")}
    assert given <= known
    other_work = {"--request", "--drive", "--locustfile", "--host", "--session-idle", "--session-limit"}
    ours = {"--pid", "--inside", "--outside", "--budget", "--name", "--out", "--json", "command"}
    assert known - given == {*ours, *other_work}


@pytest.mark.parametrize(
    "given",
    [
        {"mcp": "http://127.0.0.1:{port}/mcp", "session_idle": "2m", "session_limit": 9, "tool": ("one",)},
        {"locustfile": __file__, "host": "http://127.0.0.1:{port}"},
    ],
    ids=["mcp over http", "locustfile"],
)
def test_the_port_is_filled_where_the_load_goes_and_the_plan_keeps_it_open(given, tmp_path):
    setup = config.plan(config.Options(command=("server", "{port}"), **given), 1234, tmp_path)
    assert setup.environment == {"PORT": "1234"}
    assert (setup.plan.mcp_url or setup.plan.host).startswith("http://127.0.0.1:{port}")
    assert (setup.filled().mcp_url or setup.filled().host).startswith("http://127.0.0.1:1234")
    assert setup.plan.session_idle_seconds == (120.0 if "mcp" in given else None)
    assert setup.plan.session_limit == given.get("session_limit")
    assert setup.plan.locustfile == given.get("locustfile")


@pytest.mark.parametrize("json_wanted", [False, True])
def test_probes_are_listed_and_read(json_wanted, leakcheck):
    with subprocess.Popen(["sleep", "1000"]) as target:
        deadline = time.monotonic() + 5
        while Path(f"/proc/{target.pid}/comm").read_text() != "sleep\n":
            assert time.monotonic() < deadline
        done = leakcheck("probes", "--pid", target.pid, "--times", 3, *(["--json"] if json_wanted else []))
        target.kill()
    assert done.returncode == 0
    if json_wanted:
        told = json.loads(done.stdout)
        values = {one["name"]: one["value"] for one in told["resources"]}
        assert values["processes"] == 1
        assert values["fds.pipe"] is not None
        assert told["snapshot_ms"] > 0
    else:
        assert "processes" in done.stdout
        assert "1 process; a snapshot takes" in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80
