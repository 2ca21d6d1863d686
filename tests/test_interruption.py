"""However an audit is ended, nothing is left running and what was seen is kept."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

SCHEMA = json.loads(files("leakcheck").joinpath("schema/audit.schema.json").read_text())


def marked(token):
    """Processes that have the token in their environment and have not ended."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state = (folder / "stat").read_bytes().rpartition(b")")[2].split()[0]
            if state not in {b"Z", b"X"} and token.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the moment to wait for never came"
        time.sleep(0.01)


def journal(folder):
    path = folder / "journal.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def snapshots(events, *phases):
    return sum(event["event"] == "snapshot" and event["phase"] in phases for event in events)


BUDGET = ("--budget", "40s")
MCP = ("python", "{programs}/mcp_good.py", "--only=echo,nap")
HTTP = ("--request", "GET http://127.0.0.1:{port}/", *BUDGET, "--", "python", "{programs}/http_service.py", "{port}")
DRIVE = ("--drive", "true", *BUDGET, "--", "sleep", "1000")
SHORT = ("--drive", "true", "--rounds", "4", "--operations", "1")
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()"

MOMENTS = {
    "before it is ready": (
        ("--mcp", "stdio", "--", "python", "{programs}/mcp_bad.py", "silent"),
        lambda events, mine: len(events) == 1 and mine > 2,
    ),
    "in the pilot, over HTTP": (HTTP, lambda events, _: snapshots(events, "pilot") >= 1),
    "in the rounds, with a command": (DRIVE, lambda events, _: snapshots(events, "warm_up", "main") >= 2),
    "in the rounds, over stdio": (
        ("--mcp", "stdio", *BUDGET, "--", *MCP),
        lambda events, _: snapshots(events, "warm_up", "main") >= 2,
    ),
    "in the copies": (
        ("--mcp", "stdio", "--rounds", "4", "--operations", "1", "--", *MCP),
        lambda events, _: any(event["event"] == "copy" for event in events),
    ),
    "while the target is stopped": (
        (*SHORT, "--grace", "6s", "--", "python", "-c", DEAF),
        lambda events, _: snapshots(events, "pilot", "warm_up", "main", "quiet") == 8,
    ),
}


@pytest.mark.share(3)
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("before it is ready", signal.SIGINT),
        ("before it is ready", signal.SIGTERM),
        ("in the pilot, over HTTP", signal.SIGTERM),
        ("in the rounds, with a command", signal.SIGINT),
        ("in the rounds, over stdio", signal.SIGTERM),
        ("in the copies", signal.SIGINT),
        ("in the copies", signal.SIGHUP),
        ("while the target is stopped", signal.SIGINT),
        ("while the target is stopped", signal.SIGTERM),
    ],
)
def test_a_signal_ends_the_audit_early_and_keeps_it(moment, number, tmp_path, programs):
    arguments, has_come = MOMENTS[moment]
    token = f"leakcheck-test-{uuid.uuid4().hex}"
    command = ["leakcheck", "audit", "--out", "a", *(one.replace("{programs}", str(programs)) for one in arguments)]
    auditor = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**os.environ, "TEST_TOKEN": token},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: has_come(journal(tmp_path / "a"), len(marked(token))))
        auditor.send_signal(number)
        auditor.send_signal(number)  # an impatient user: no harm
        said, problems = auditor.communicate(timeout=20)
    finally:
        auditor.kill()
        auditor.wait()
    assert auditor.returncode == 130, problems
    assert marked(token) == []
    assert "Traceback" not in problems
    audit = json.loads((tmp_path / "a/audit.json").read_text())
    jsonschema.validate(audit, SCHEMA)
    assert audit["tool"]["ended"] == "interrupted"
    assert audit["verdict"] != "clean"
    assert "Interrupted: concluded from" in said
    assert "Interrupted: concluded from" in (tmp_path / "a/report.html").read_text()
    assert journal(tmp_path / "a")[-1]["event"] == "end"
    assert {path.name for path in (tmp_path / "a").iterdir()} <= {
        *("audit.json", "copies.log", "journal.jsonl", "report.html", "target.log")
    }


@pytest.mark.share(3)
@pytest.mark.parametrize(
    ("times", "arguments"),
    [
        (2, ("--mcp", "stdio", *BUDGET, "--", *MCP, "--leaves-child")),
        (2, HTTP),
        (1, DRIVE),
    ],
    ids=["stdio", "http", "drive"],
)
def test_after_a_sigkill_at_a_random_instant_nothing_is_left_and_the_report_works(times, arguments, tmp_path, programs):
    filled = [one.replace("{programs}", str(programs)) for one in arguments]
    killer = (sys.executable, str(programs / "kill_auditor.py"), "--times", str(times), "--seed", str(os.getpid()))
    told = subprocess.run(
        [*killer, "--within", "4", "--folder", str(tmp_path), "--", *filled],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    results = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(results) == times
    for result in results:
        assert result["ended_with"] == -signal.SIGKILL, result
        assert result["lived_on_seconds"] is not None, result
        assert result["lived_on_seconds"] < 3, result
        assert result["report_code"] == (0 if result["journal_lines"] else 2), result


def test_a_journal_without_an_end_is_reported_as_an_audit_whose_auditor_was_killed(leakcheck, tmp_path):
    leakcheck("audit", "--drive", "true", "--rounds", "4", "--operations", "1", "--out", "a", "--", "sleep", "1000")
    lines = (tmp_path / "a/journal.jsonl").read_text().splitlines(keepends=True)
    for name, kept in (("killed", lines[:5]), ("only-planned", lines[:1])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "journal.jsonl").write_text("".join(kept))
        done = leakcheck("report", name)
        assert done.returncode == 0, done.stderr
        assert "The auditor was killed on the way" in done.stdout
        audit = json.loads((tmp_path / name / "audit.json").read_text())
        jsonschema.validate(audit, SCHEMA)
        assert audit["tool"]["ended"] == "auditor killed"
        assert audit["verdict"] != "clean"
