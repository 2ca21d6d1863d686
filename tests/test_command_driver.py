import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from leakcheck.credentials import Secrets
from leakcheck.drivers.command import CommandDriver
from leakcheck.drivers.command_run import TAIL_BYTES, Tail
from leakcheck.drivers.ports import free_port
from leakcheck.errors import NotReady, TargetDied, UsageError
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.targets.spawn import Spawned

PROGRAMS = Path(__file__).parent / "programs"
FETCH = "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/').read()"
SECRET = "tr0ub4dor-of-the-test"


class Alive:
    """A target that lives until told otherwise: what the runs do is under test here."""

    code = None
    root = SimpleNamespace(role="python")
    stdin = stdout = None

    def members(self):
        return (object(),)

    def exit_code(self):
        return self.code

    def last_lines(self, count=10):
        return ("said by the target",)


def driver_of(source, *arguments, ready=10.0, limit=60.0, grace=0.3, environment=None, cwd=None):
    plan = AuditPlan(
        command=("x",),
        pid=None,
        driver=DriverKind.COMMAND,
        drive=(sys.executable, "-I", "-S", "-c", source, *arguments),
        ready_timeout_seconds=ready,
        grace_seconds=grace,
        cwd=cwd,
    )
    return CommandDriver(plan, environment or {}, Secrets([SECRET]), limit_seconds=limit)


@pytest.fixture(autouse=True)
def nothing_is_left_open():
    before = (len(list(Path("/proc/self/fd").iterdir())), threading.active_count())
    yield
    assert (len(list(Path("/proc/self/fd").iterdir())), threading.active_count()) == before


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True


def pid_written_to(path):
    deadline = time.monotonic() + 10
    while not (path.exists() and path.read_text().endswith("\n")):
        assert time.monotonic() < deadline
    return int(path.read_text())


def gone_soon(pid):
    deadline = time.monotonic() + 5
    while not gone(pid):
        assert time.monotonic() < deadline, f"{pid} is still there"


def test_each_operation_is_one_run_against_a_real_server(tmp_path):
    port = free_port()
    driver = driver_of(FETCH, environment={"PORT": str(port)})
    with Spawned(
        [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", str(port)],
        pipes=False,
        environment={},
        cwd=str(tmp_path),
        log_path=tmp_path / "target.log",
        secrets=Secrets(),
        grace_seconds=1.0,
    ) as target:
        opened = driver.open(target)
        before = (tmp_path / "target.log").read_text().count("GET / ")
        played = driver.play({"drive": 5})
        after = sum("GET / " in line for line in target.last_lines(100))
        driver.close()
    assert opened.operations == ("drive",)
    assert {one.operation for one in opened.not_played} == {"session", "abandon", "disconnect", "cancel", "reject"}
    assert (played.done, played.failed, played.problem) == ({"drive": 5}, {}, None)
    assert played.seconds["drive"] > 0
    assert after - before == 5
    assert driver.cpu_seconds > 0
    assert driver.processes() == ()
    assert list(driver.copies(1.0)) == []


def test_ready_is_the_first_run_that_exits_with_zero(tmp_path):
    counter = tmp_path / "runs"
    driver = driver_of("import sys; f = open(sys.argv[1], 'a+'); f.write('x'); sys.exit(f.tell() < 3)", str(counter))
    driver.open(Alive())
    assert counter.read_text() == "xxx"


def test_never_exiting_with_zero_is_not_ready_with_exit_code_and_last_lines():
    driver = driver_of(f"import sys; print('cannot connect, key {SECRET}\\x1b[2J'); sys.exit(5)", ready=0.5)
    with pytest.raises(NotReady, match=r"did not exit with 0 within 0.5 s(.|\n)*exit code 5") as raised:
        driver.open(Alive())
    assert "cannot connect, key •••\\x1b[2J" in str(raised.value)
    assert SECRET not in str(raised.value)
    assert "said by the target" in str(raised.value)


def test_a_command_that_does_not_exist_is_a_usage_error():
    plan = AuditPlan(command=None, pid=1, driver=DriverKind.COMMAND, drive=("no-such-command-anywhere", "x"))
    driver = CommandDriver(plan, {}, Secrets())
    with pytest.raises(UsageError, match="'no-such-command-anywhere', cannot be executed"):
        driver.open(Alive())


def test_an_empty_command_and_a_missing_folder_are_usage_errors(tmp_path):
    with pytest.raises(UsageError, match="--drive is empty"):
        CommandDriver(AuditPlan(command=None, pid=1, driver=DriverKind.COMMAND), {}, Secrets())
    with pytest.raises(UsageError, match="--cwd"):
        driver_of("pass", cwd=str(tmp_path / "missing")).open(Alive())


def test_a_target_that_ends_before_or_during_a_run_is_target_died():
    target = Alive()
    driver = driver_of("pass")
    driver.open(target)
    target.code = -11
    with pytest.raises(TargetDied, match=r"was ended by SIGSEGV \(11\) during run 1"):
        driver.play({"drive": 3})
    with pytest.raises(TargetDied, match="before its first answer"):
        driver_of("raise SystemExit(1)").open(target)


def test_a_run_that_would_go_on_is_ended_when_the_target_is_gone():
    target = Alive()
    driver = driver_of("import os, sys, time; time.sleep(30 * ('SLOW' in os.environ))", environment={})
    driver.open(target)
    driver._environment["SLOW"] = "1"
    target.code = 0
    began = time.monotonic()
    with pytest.raises(TargetDied, match="exit code 0"):
        driver.play({"drive": 1})
    assert time.monotonic() - began < 5


def test_non_zero_exits_are_failures_and_the_first_is_said(tmp_path):
    counter = tmp_path / "runs"
    source = (
        "import sys; f = open(sys.argv[1], 'a+'); f.write('x'); n = f.tell();"
        f"print('run', n, {SECRET!r}); sys.exit(4 if n % 2 else 0)"
    )
    counter.write_text("x")
    driver = driver_of(source, str(counter))
    driver.open(Alive())
    played = driver.play({"drive": 4})
    assert played.done == {"drive": 4}
    assert played.failed == {"drive": 2}
    assert "exit code 4; its last lines:\n  run 3 •••" in played.problem
    assert SECRET not in played.problem


def test_the_command_has_no_stdin_and_gets_the_added_environment():
    source = (
        "import os, sys; sys.exit(not (sys.stdin.read() == '' and os.environ['PORT'] == '1' and 'PATH' in os.environ))"
    )
    driver = driver_of(source, environment={"PORT": "1"}, ready=0.2)
    assert driver.open(Alive()).server == "python"


def test_a_flood_of_output_neither_blocks_nor_grows():
    source = (
        "import os, sys\n"
        "if 'FLOOD' in os.environ:\n"
        "    [print('y' * 1000) for _ in range(20000)]; print('the end'); sys.exit(1)\n"
    )
    driver = driver_of(source)
    driver.open(Alive())
    driver._environment["FLOOD"] = "1"
    problem = driver.play({"drive": 1}).problem
    assert "exit code 1" in problem
    assert problem.endswith("the end")
    assert len(problem) < 2 * TAIL_BYTES


def test_the_tail_drops_a_line_whose_beginning_is_lost():
    tail = Tail()
    for _ in range(3):
        tail.add(b"k" * TAIL_BYTES)
    assert tail.text() == ""
    tail.add(b"\n" + b"\n".join(b"line %d" % number for number in range(50)))
    assert tail.text().split("\n") == [f"line {number}" for number in range(30, 50)]


def test_a_run_over_the_limit_is_ended_with_all_that_it_started(tmp_path):
    written = tmp_path / "pid"
    child = "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.setsid();"
    child += "f = open(sys.argv[1], 'w'); f.write(f'{os.getpid()}\\n'); f.close(); time.sleep(60)"
    source = (
        "import os, subprocess, sys\n"
        "if len(sys.argv) > 2 and os.path.exists(sys.argv[2]):\n"
        f"    subprocess.run([sys.executable, '-c', {child!r}, sys.argv[1]])\n"
    )
    switch = tmp_path / "switch"
    driver = driver_of(source, str(written), str(switch), limit=1.0)
    driver.open(Alive())
    switch.touch()
    played = driver.play({"drive": 5})
    assert played.done == {"drive": 2}, "two over the limit in a row are enough"
    assert played.failed == {"drive": 2}
    assert "not ended within 1 s" in played.problem
    assert "2 in a row, so 3 runs were not started" in played.problem
    assert gone(pid_written_to(written))
    assert driver.processes() == ()


def test_what_a_run_leaves_in_the_background_is_gone_after_it(tmp_path):
    written = tmp_path / "pid"
    source = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "open(sys.argv[1], 'w').write(f'{child.pid}\\n')\n"
    )
    driver_of(source, str(written)).open(Alive())
    assert gone(pid_written_to(written))


def test_an_interrupt_in_mid_run_ends_the_run_on_close(tmp_path):
    written = tmp_path / "pid"
    source = "import os, sys, time; open(sys.argv[1], 'w').write(f'{os.getpid()}\\n'); time.sleep(60)"
    driver = driver_of(source, str(written))
    seen = []

    def interrupt():
        pid_written_to(written)
        seen.extend(driver.processes())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        driver.open(Alive())
    thread.join()
    driver.close()
    driver.close()
    assert pid_written_to(written) in seen
    assert len(seen) == 2
    assert all(gone(pid) for pid in seen)


def test_a_run_ends_when_the_auditor_is_killed(tmp_path):
    written = tmp_path / "pid"
    child = f"import os, time; open({str(written)!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    source = (
        "import sys\n"
        "from types import SimpleNamespace as N\n"
        "from leakcheck.credentials import Secrets\n"
        "from leakcheck.drivers.command import CommandDriver\n"
        "from leakcheck.model.plan import AuditPlan, DriverKind\n"
        "plan = AuditPlan(command=None, pid=1, driver=DriverKind.COMMAND, grace_seconds=0.3,\n"
        f"    drive=(sys.executable, '-c', {child!r}))\n"
        "target = N(exit_code=lambda: None, members=lambda: (1,), last_lines=lambda: (), root=N(role='x'))\n"
        "CommandDriver(plan, {}, Secrets()).open(target)\n"
    )
    auditor = subprocess.Popen([sys.executable, "-c", source])
    try:
        run = pid_written_to(written)
        assert not gone(run)
    finally:
        auditor.kill()
        auditor.wait()
    gone_soon(run)
