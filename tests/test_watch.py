"""`leakcheck watch` and `leakcheck run`: looking without driving, on processes of several kinds, ended in every way."""

import http.server
import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from leakcheck.model.event import Ended, Floor, Phase, Planned, Ready
from leakcheck.model.finding import Detectable, Per, Rate, Verdict
from leakcheck.model.moment import Moment
from leakcheck.render.watch import WatchView, screen
from leakcheck.rolling import Rolling
from leakcheck.store import read_audit, read_journal
from leakcheck.thinning import MOST_FLOORS
from leakcheck.verdicts import conclude

SCHEMA = json.loads(files("leakcheck").joinpath("schema/audit.schema.json").read_text())
PROGRAMS = Path(__file__).parent / "programs"
QUICK = ("--every", "0.25s")
pytestmark = pytest.mark.share(4)
"""Each waits for a watch of many seconds; those of a matrix of their own run by its share."""
SLEEPER = "import time; time.sleep(60)"
PIPELINE = "while :; do echo line; sleep 0.05; done | tr a-z A-Z | cat > /dev/null"


@contextmanager
def process(*command, says=None):
    """A target with a process group of its own, ended whole; it has started up when it `says` that line."""
    output = None if says is None else subprocess.PIPE
    target = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=output, text=True)
    try:
        if says is not None:
            with target.stdout:
                assert target.stdout.readline() == f"{says}\n"
        yield target
    finally:
        os.killpg(target.pid, signal.SIGKILL)
        target.wait()


@contextmanager
def started(*arguments, cwd):
    watcher = subprocess.Popen(
        ["leakcheck", *map(str, arguments)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield watcher
    finally:
        watcher.kill()
        watcher.wait()
        watcher.stdout.close()
        watcher.stderr.close()


def journal(folder):
    path = folder / "journal.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def floors(folder):
    return [event for event in journal(folder) if event["event"] == "snapshot"]


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the moment to wait for never came"
        time.sleep(0.02)


def audit_in(folder):
    """What was left: valid, and the same that the journal alone gives."""
    jsonschema.validate(json.loads((folder / "audit.json").read_text()), SCHEMA)
    audit = read_audit(folder / "audit.json")
    assert conclude(read_journal(folder / "journal.jsonl")) == audit
    assert (folder / "report.html").read_bytes().startswith(b"<!doctype html>")
    assert len(audit.rounds) <= MOST_FLOORS
    return audit


def by_name(audit):
    return {finding.resource: finding for finding in audit.findings}


@pytest.mark.share(2)
def test_a_python_process_that_forgets_files_leaks_them_at_its_rate_by_time(leakcheck, tmp_path, programs):
    with process(sys.executable, programs / "opens_files.py") as target:
        done = leakcheck("watch", target.pid, "--for", "16s", *QUICK, "--out", "w")
    assert done.returncode == 1, done.stderr
    found = by_name(audit_in(tmp_path / "w"))["fds.file"]
    assert found.verdict is Verdict.LEAK
    assert found.rate.per is Per.SECOND
    assert 14 < found.rate.value < 21
    assert found.forecast.limit == "RLIMIT_NOFILE"
    assert any("opens_files.py" in suspect.holder for suspect in found.suspects)
    assert "fds.file: LEAK; " in done.stderr
    assert "LEAK  open files" in done.stdout


@pytest.mark.share(3)
@pytest.mark.parametrize(
    "command",
    [
        (
            sys.executable,
            "-c",
            "import time\nprint('up', flush=True)\nwhile True: open('/dev/null').close(); time.sleep(0.01)",
        ),
        (
            "node",
            "-e",
            "require('http').createServer().listen(0, () => console.log('up')); setInterval(() => ({}), 20)",
        ),
        ("sh", "-c", f"echo up; {PIPELINE}"),
    ],
    ids=["python", "node", "shell pipeline"],
)
def test_a_process_that_gives_everything_back_is_not_accused(leakcheck, tmp_path, command):
    with process(*command, says="up") as target:
        done = leakcheck("watch", target.pid, "--for", "8s", "--every", "0.4s", "--out", "w", "--json")
    audit = audit_in(tmp_path / "w")
    assert done.returncode in {0, 3}, (done.stdout, done.stderr)  # on a busy machine too few floors for memory
    assert json.loads(done.stdout)["verdict"] == audit.verdict
    assert audit.tool.ended == "finished"
    counted = {name: one.verdict for name, one in by_name(audit).items() if name.startswith(("fds", "proc", "zomb"))}
    assert counted == dict.fromkeys(counted, Verdict.CLEAN)
    assert audit.tool.looking_cpu_share < 0.03
    assert {one.phase for one in audit.rounds} == {Phase.WARM_UP, Phase.QUIET}


@pytest.mark.share(3)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_the_normal_end_of_a_watch_and_a_second_one_changes_nothing(tmp_path, programs, number):
    with (
        process(sys.executable, programs / "opens_files.py") as target,
        started("watch", target.pid, *QUICK, "--out", "w", cwd=tmp_path) as watcher,
    ):
        wait_for(lambda: len(floors(tmp_path / "w")) >= 20)
        watcher.send_signal(number)
        watcher.send_signal(number)
        said, problems = watcher.communicate(timeout=20)
        assert target.poll() is None
    assert watcher.returncode == 1, problems
    assert "Traceback" not in problems
    assert said.startswith("LEAK")
    audit = audit_in(tmp_path / "w")
    assert audit.tool.ended == "finished"
    assert journal(tmp_path / "w")[-1]["event"] == "end"


def test_a_killed_watcher_leaves_a_journal_that_can_be_reported(leakcheck, tmp_path, programs):
    with (
        process(sys.executable, programs / "opens_files.py") as target,
        started("watch", target.pid, *QUICK, "--out", "w", cwd=tmp_path) as watcher,
    ):
        wait_for(lambda: len(floors(tmp_path / "w")) >= 20)
        watcher.kill()
        watcher.wait()
        assert target.poll() is None
    done = leakcheck("report", "w")
    assert done.returncode == 0, done.stderr
    audit = audit_in(tmp_path / "w")
    assert audit.tool.ended == "auditor killed"
    assert by_name(audit)["fds.file"].verdict is Verdict.LEAK


def test_a_target_that_dies_ends_the_watch_and_is_not_called_clean(tmp_path):
    with (
        process("sh", "-c", PIPELINE) as target,
        started("watch", target.pid, *QUICK, "--out", "w", cwd=tmp_path) as watcher,
    ):
        wait_for(lambda: len(floors(tmp_path / "w")) >= 12)
        os.killpg(target.pid, signal.SIGKILL)
        said, problems = watcher.communicate(timeout=20)
        target_pid = target.pid
    assert watcher.returncode == 3, problems
    assert "The target died on the way" in said
    assert f"Process {target_pid} has ended" in said
    audit = audit_in(tmp_path / "w")
    assert audit.tool.ended == "target died"
    assert by_name(audit)["processes"].verdict is Verdict.CLEAN  # its dying is no part of what was seen


def test_a_command_that_ends_is_judged_by_what_it_leaves(leakcheck, tmp_path):
    done = leakcheck("run", *QUICK, "--out", "r", "--", "sh", "-c", "echo hello; sleep 1; sleep 61 & exit 4")
    assert done.returncode == 1, done.stderr
    audit = audit_in(tmp_path / "r")
    assert audit.tool.ended == "finished"
    assert by_name(audit)["orphans"].verdict is Verdict.LEAK
    assert "The command ended with exit code 4" in done.stdout
    assert (tmp_path / "r/target.log").read_text() == "hello\n"
    assert subprocess.run(["pgrep", "-f", "^sleep 61$"], check=False).returncode == 1


def test_a_command_that_ends_at_once_is_not_judged(leakcheck, tmp_path):
    done = leakcheck("run", "--out", "r", "--", "true")
    assert done.returncode == 3, done.stdout
    assert audit_in(tmp_path / "r").verdict in {Verdict.NOT_JUDGED, Verdict.UNDECIDED}


def test_ctrl_c_ends_the_command_too(tmp_path):
    script = "import time\nwhile True: open('/dev/null').close(); time.sleep(0.01)  # token-of-this-test"
    with started("run", *QUICK, "--out", "r", "--", sys.executable, "-c", script, cwd=tmp_path) as watcher:
        wait_for(lambda: len(floors(tmp_path / "r")) >= 12)
        watcher.send_signal(signal.SIGINT)
        _, problems = watcher.communicate(timeout=20)
    assert watcher.returncode in {0, 3}, problems
    audit = audit_in(tmp_path / "r")
    assert audit.tool.ended == "finished"
    assert by_name(audit)["fds.file"].verdict is Verdict.CLEAN
    assert subprocess.run(["pgrep", "-f", "token-of-this-test$"], check=False).returncode == 1


def test_a_pipeline_that_outlives_the_end_we_brought_about_is_told_but_not_judged(leakcheck, tmp_path):
    done = leakcheck("run", "--for", "3s", *QUICK, "--out", "r", "--", "sh", "-c", PIPELINE)
    audit = audit_in(tmp_path / "r")
    assert done.returncode != 1, done.stdout
    assert "orphans" not in by_name(audit)
    assert any("Still there after the command was asked to end" in warning for warning in audit.warnings)


def test_a_slow_metrics_page_is_asked_seldom(leakcheck, tmp_path):
    asked = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(time.monotonic())
            time.sleep(0.4)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'# TYPE held gauge\nheld{who="\x1b[2J"} 5\n')

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server, process(sys.executable, "-c", SLEEPER) as target:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/metrics"
        done = leakcheck("watch", target.pid, "--metrics", url, "--for", "10s", "--every", "0.5s", "--out", "w")
        server.shutdown()
        thread.join()
    assert 2 <= len(asked) <= 4
    assert "\x1b[2J" not in done.stdout + done.stderr
    assert any(one.name.startswith("metric.held") for one in audit_in(tmp_path / "w").resources)


def test_excluded_resources_are_not_judged_and_missing_required_ones_leave_it_undecided(leakcheck, tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.leakcheck]\nexclude = ["threads", "memory"]\nmcp = "stdio"\n')
    with process(sys.executable, "-c", SLEEPER) as target:
        done = leakcheck("watch", target.pid, "--for", "3s", "--require", "metric.x", "--out", "w")
    audit = audit_in(tmp_path / "w")
    assert done.returncode == 3
    assert not {"memory.anon", "threads"} & by_name(audit).keys()
    assert audit.plan.require == ("metric.x",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("watch", 999999999), "There is no process"),
        (("watch", 0), "There is no process"),
        (("watch", "x"), "valid integer"),
        (("watch", "{me}", "--for", "soon"), "--for must be a time"),
        (("watch", "{me}", "--every", "0"), "--every must be a time"),
        (("watch", "{me}", "--metrics", "http://example.org/"), "another machine"),
        (("run",), "No command"),
        (("run", "--", "no-such-command-here"), "not found"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(leakcheck, arguments, words):
    filled = [str(os.getpid()) if one == "{me}" else one for one in arguments]
    done = leakcheck(*filled)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_on_a_terminal_the_table_lives_and_stays(tmp_path, programs):
    ours, theirs = pty.openpty()
    shown = b""
    with process(sys.executable, programs / "opens_files.py") as target:
        command = ["leakcheck", "watch", str(target.pid), "--for", "5s", *QUICK, "--name", "evil\x1b[2Jname"]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        watcher = subprocess.Popen(
            command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs, env=environment
        )
        os.close(theirs)
        try:
            while select.select([ours], [], [], 30)[0]:
                try:
                    shown += os.read(ours, 65536)
                except OSError:  # EIO: nobody writes any more
                    break
        finally:
            watcher.kill()
            watcher.wait()
            os.close(ours)
    text = shown.decode()
    assert "\x1b[2J" not in text
    assert "evil\\x1b[2Jname" in text
    assert text.count("Ctrl-C ends the watch") >= 3
    assert "\x1b[?25h" in text[-40:]  # the cursor is shown again
    assert "fds.file" in text


@pytest.fixture(scope="module")
def leaking(tmp_path_factory):
    """The events of a short watch."""
    folder = tmp_path_factory.mktemp("leaking")
    with process(sys.executable, PROGRAMS / "opens_files.py") as target:
        command = ["leakcheck", "watch", str(target.pid), "--for", "5s", *QUICK, "--out", "w"]
        subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
    return read_journal(folder / "w/journal.jsonl")


def moment(events, **changes):
    audit = conclude(events)
    last = [event for event in events if isinstance(event, Floor)][-1]
    values = {"fds.file": 3.0, "memory.anon": 1e6}
    return replace(
        Moment(
            audit=audit,
            floor=last,
            look=last,
            first=values,
            elapsed_seconds=9.0,
            unix_seconds=1e9,
            judged_seconds=8.0,
            cpu_share=0.004,
            resident_bytes=60 << 20,
        ),
        **changes,
    )


def drawn(some, height=24):
    console = Console(width=80, height=height, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(screen(some, height))
    return capture.get().splitlines()


def test_the_screen_fits_80_by_24_and_says_what_leaks_how_fast_and_until_when(leaking):
    some = moment(leaking)
    found = [replace(one, forecast=None) for one in some.audit.findings]
    leak = next(one for one in found if one.resource == "fds.file")
    rate = Rate(value=0.002, low=0.001, high=0.003, unit="files", per=Per.SECOND)
    clean = replace(
        leak,
        resource="metric.\x1b]0;evil\x07" + "x" * 200,
        verdict=Verdict.CLEAN,
        rate=None,
        detectable=Detectable(value=2048.0, unit="bytes", per=Per.SECOND),
        unit="bytes",
    )
    findings = (replace(leak, verdict=Verdict.LEAK, rate=rate), clean, *[clean] * 40)
    lines = drawn(replace(some, audit=replace(some.audit, findings=findings)))
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert not any("\x1b" in line or "\x07" in line for line in lines)
    assert "watched for 9.0 s" in lines[0]
    assert "costs 0.40 % of a core, 60 MiB" in lines[0]
    row = next(line for line in lines if line.startswith("fds.file"))
    assert "7.2" in row
    assert "LEAK" in row
    assert "< 7.03 MiB" in "".join(lines)
    assert any("more resources" in line for line in lines)


def test_without_a_terminal_each_change_of_a_verdict_is_one_line_and_each_minute_has_one(leaking):
    console = Console(width=80, force_terminal=False, color_system=None)
    first = moment(leaking)
    other = tuple(
        replace(one, verdict=Verdict.LEAK if one.resource == "processes" else one.verdict)
        for one in first.audit.findings
    )
    changed = replace(first.audit, findings=other)
    with console.capture() as capture, WatchView(console) as view:
        view.show(first)
        view.show(replace(first, elapsed_seconds=10.0))
        view.show(replace(first, audit=changed, elapsed_seconds=11.0))
        view.show(replace(first, audit=changed, elapsed_seconds=61.0))
        view.show(replace(first, audit=changed, elapsed_seconds=62.0))
    lines = capture.get().splitlines()
    assert sum("processes: LEAK" in line for line in lines) == 1
    assert sum("so far: " in line for line in lines) == 1


def test_a_console_that_is_gone_ends_no_watch(leaking, tmp_path):
    with (tmp_path / "gone").open("w") as file:
        console = Console(file=file, force_terminal=True)
        view = WatchView(console)
        file.close()
        with view:
            view.show(moment(leaking))
            view.show(moment(leaking))


def a_floor(some, at):
    return replace(some, snapshot=replace(some.snapshot, at_seconds=at))


def test_verdicts_come_early_at_each_eighth_floor_and_later_as_their_cost_allows(leaking):
    start = [event for event in leaking if isinstance(event, (Planned, Ready))]
    some = next(event for event in leaking if isinstance(event, Floor))
    seen = list(start)
    rolling = Rolling(lambda: seen)
    ended = Ended(how="finished", wall_seconds=1.0, auditor_cpu_seconds=0.0, looking_cpu_seconds=0.0)
    assert rolling.is_due(0.0)
    rolling.judge(0.0, ended)
    rolling.cost_seconds = 1.0
    assert not rolling.is_due(1e9)  # there is nothing new
    for number in range(8):
        assert not rolling.is_due(float(number))
        seen.append(a_floor(some, float(number)))
        rolling.floor_was_added()
    assert rolling.is_due(8.0)
    rolling.judge(8.0, ended)
    assert rolling.last()[1] is seen[-1]
    assert rolling.last()[2] == 8.0
    rolling.cost_seconds = 1.0
    seen.extend(a_floor(some, 8.0 + number) for number in range(100))
    for _ in range(100):
        rolling.floor_was_added()
    assert not rolling.is_due(8.0 + 199)
    assert rolling.is_due(8.0 + 200)
    rolling.cost_seconds = 100.0
    assert rolling.is_due(8.0 + 600)
