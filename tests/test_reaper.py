"""The reaper with real processes: six ways in which an owner ends, eight children that do not want to end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import leakcheck.targets

pytestmark = pytest.mark.share(2)

REAPER = Path(leakcheck.targets.__file__).with_name("reaper.py")
PROGRAMS = Path(__file__).with_name("programs")
PATIENCE = 20.0
GRACE = 200
"""Milliseconds."""

CHILDREN = (
    "good",
    "ignores_sigterm",
    "detaches",
    "with_grandchild",
    "closes_stdio",
    "floods",
    "hangs_mid_message",
    "all_at_once",
)

CGROUPS = Path("/sys/fs/cgroup/memory")
OUT_OF_MEMORY = os.access(CGROUPS / "cgroup.procs", os.W_OK)
"""Only with a memory cgroup (v1) of our own can the kernel be made to kill the owner and nobody else."""

EVENTS = (
    "normal_exit",
    "raise",
    "sigterm",
    "sigkill",
    "real_oom_kill" if OUT_OF_MEMORY else "sigkill_by_another_process_in_place_of_an_oom_kill",
    "stop_while_the_owner_lives",
)

OWNER = """
import os, signal, socket, subprocess, sys
reaper, grace, *command = sys.argv[1:]
ours, theirs = socket.socketpair()
options = ["--owner", str(os.getpid()), "--lifeline", str(theirs.fileno()), "--grace", grace, "--linger", "0"]
process = subprocess.Popen([sys.executable, "-I", "-S", reaper, *options, "--", *command],
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[theirs.fileno()])
theirs.close()
order = sys.stdin.readline().strip()
if order == "raise":
    raise RuntimeError("the owner has a bug")
if order == "stop":
    ours.close()
    process.wait()
    print("stopped", flush=True)
    sys.stdin.readline()
if order == "fork":
    if os.fork() == 0:  # a copy that holds the lifeline open
        signal.alarm(60)
        signal.pause()
    os.kill(os.getpid(), signal.SIGKILL)
if order == "fill":
    hoard = []
    while True:
        hoard.append(bytearray(b"x" * (1 << 20)))
"""


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline, pause = time.monotonic() + PATIENCE, 0.002
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def named(token: Path) -> list[psutil.Process]:
    """Processes whose command line holds the token."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(str(token) in argument for argument in process.cmdline()):
                found.append(process)
    return found


def end(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


@contextlib.contextmanager
def owner_of(child: str, ready: Path) -> Iterator[subprocess.Popen[str]]:
    """An owner with a reaper and a child that is ready; whatever the test shows, nothing is left after it."""
    command = [sys.executable, "-I", "-S", str(PROGRAMS / f"child_{child}.py"), str(ready)]
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", OWNER, str(REAPER), str(GRACE), *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as owner:
        try:
            wait_until(ready.exists, "the child is ready")
            yield owner
        finally:
            owner.kill()
            for left in named(ready):
                end(left)


@contextlib.contextmanager
def memory_limit(processes: list[psutil.Process], limit: int) -> Iterator[Path]:
    folder = CGROUPS / f"leakcheck-test-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / "memory.limit_in_bytes").write_text(str(limit))
        for process in processes:
            (folder / "cgroup.procs").write_text(str(process.pid))
        yield folder
    finally:
        wait_until(lambda: not (folder / "cgroup.procs").read_text(), "the cgroup is empty")
        folder.rmdir()


def bring_about(event: str, owner: subprocess.Popen[str], cell: list[psutil.Process]) -> None:
    assert owner.stdin is not None
    assert owner.stdout is not None
    if event == "stop_while_the_owner_lives":
        owner.stdin.write("stop\n")
        owner.stdin.flush()
        wait_until(lambda: select.select([owner.stdout], [], [], 0)[0], "the reaper has ended")
        assert owner.stdout.readline() == "stopped\n"
        assert psutil.Process(owner.pid).children(recursive=True) == [], "left below an owner that lives on"
    elif event == "real_oom_kill":
        with memory_limit([psutil.Process(owner.pid), *cell], 48 << 20) as folder:
            owner.stdin.write("fill\n")
            owner.stdin.flush()
            assert owner.wait(PATIENCE) == -signal.SIGKILL
            wait_until(lambda: all(gone(process, owner) for process in cell), "nothing of the cell is left")
            assert "oom_kill 0" not in (folder / "memory.oom_control").read_text()
    elif event.startswith("sigkill_by_another"):
        subprocess.run(["/bin/sh", "-c", f"kill -KILL {owner.pid}"], check=True)
        assert owner.wait(PATIENCE) == -signal.SIGKILL
    elif event in {"sigterm", "sigkill"}:
        owner.send_signal(getattr(signal, event.upper()))
        assert owner.wait(PATIENCE) < 0
    else:
        owner.stdin.write(f"{event}\n")
        owner.stdin.flush()
        assert owner.wait(PATIENCE) == (1 if event == "raise" else 0)


def gone(process: psutil.Process, owner: subprocess.Popen[str]) -> bool:
    """Not there any more, not even as a zombie; but a reaper that outlived its owner is for init to wait for."""
    with contextlib.suppress(psutil.NoSuchProcess):
        if process.is_running():
            return process.status() == psutil.STATUS_ZOMBIE and process.ppid() == 1 and owner.poll() is not None
    return True


@pytest.mark.parametrize("child", CHILDREN)
@pytest.mark.parametrize("event", EVENTS)
def test_nothing_is_left_of_a_child_however_its_owner_ends(event: str, child: str, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with owner_of(child, ready) as owner:
        size = 3 if child in {"detaches", "with_grandchild", "all_at_once"} else 2  # the reaper among them
        wait_until(lambda: len(psutil.Process(owner.pid).children(recursive=True)) == size, "only the cell is there")
        cell = psutil.Process(owner.pid).children(recursive=True)
        bring_about(event, owner, cell)
        wait_until(lambda: all(gone(process, owner) for process in cell), "nothing of the cell is left")
        assert [process for process in named(ready) if process.pid != owner.pid] == []


@contextlib.contextmanager
def reaped(*command: str, grace: int = GRACE, linger: int = 0, owner: int | None = None, **options: object):
    """A reaper whose owner is this process; gives the reaper and our end of the lifeline."""
    ours, theirs = socket.socketpair()
    ours.settimeout(PATIENCE)
    arguments = ["--owner", str(owner or os.getpid()), "--lifeline", str(theirs.fileno())]
    arguments += ["--grace", str(grace), "--linger", str(linger)]
    with ours:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(REAPER), *arguments, "--", *command],
                pass_fds=[theirs.fileno()],
                **options,
            )
        with process:
            try:
                yield process, ours
            finally:
                ours.shutdown(socket.SHUT_WR)
                with contextlib.suppress(psutil.NoSuchProcess):
                    family = psutil.Process(process.pid).children(recursive=True)
                    wait_until(lambda: process.poll() is not None or [end(one) for one in family] == [], "it ends")


def heard(lifeline: socket.socket, word: str) -> list[int]:
    """Numbers that the reaper says after `word`."""
    with lifeline.makefile() as lines:
        for line in lines:
            if line.startswith(word):
                return list(map(int, line.split()[1:]))
    raise AssertionError(f"the reaper ended without a word of {word}")


def program(name: str, *arguments: Path) -> list[str]:
    return [sys.executable, "-I", "-S", str(PROGRAMS / f"child_{name}.py"), *map(str, arguments)]


@pytest.mark.parametrize(
    ("script", "told", "code"), [("exit 0", 0, 0), ("exit 3", 3, 3), ("kill -KILL $$", -9, 137), ("kill $$", -15, 143)]
)
def test_the_exit_code_is_the_commands(script: str, told: int, code: int) -> None:
    with reaped("/bin/sh", "-c", script) as (process, lifeline):
        assert heard(lifeline, "ended") == [told]
        assert process.wait(PATIENCE) == code


def test_a_command_that_cannot_be_executed_is_127_with_a_line_on_stderr_and_never_started() -> None:
    with reaped("/nonexistent/server", stderr=subprocess.PIPE) as (process, lifeline):
        assert process.stderr.read() == b"cannot execute '/nonexistent/server': No such file or directory\n"
        assert process.wait(PATIENCE) == 127
        assert lifeline.recv(4096) == b"ended 127\n"


def test_the_owner_is_told_pid_and_start_time_once_the_command_runs(tmp_path: Path) -> None:
    with reaped("sleep", "60") as (process, lifeline):
        pid, ticks = heard(lifeline, "started")
        assert psutil.Process(pid).cmdline() == ["sleep", "60"]
        assert psutil.Process(pid).ppid() == process.pid
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19] == str(ticks)


def test_who_is_not_the_parent_cannot_be_the_owner() -> None:
    with reaped("/bin/true", owner=1, stderr=subprocess.PIPE) as (process, lifeline):
        assert b"--owner 1 must be the parent" in process.stderr.read()
        assert process.wait(PATIENCE) == 1
        assert lifeline.recv(10) == b""


def test_missing_options_are_answered_with_the_usage() -> None:
    for arguments in ([], ["--owner", "1", "--", "true"], ["--owner", "1", "--lifeline", "0", "--grace", "0"]):
        process = subprocess.run(
            [sys.executable, "-I", "-S", str(REAPER), *arguments], capture_output=True, check=False
        )
        assert process.returncode == 1
        assert process.stderr.startswith(b"usage: reaper.py --owner PID --lifeline FD")


def test_a_plain_pipe_is_a_lifeline_too() -> None:
    theirs, ours = os.pipe()
    options = ["--owner", str(os.getpid()), "--lifeline", str(theirs), "--grace", "0", "--linger", "0"]
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(REAPER), *options, "--", "sleep", "60"], pass_fds=[theirs]
    ) as process:
        os.close(theirs)
        wait_until(lambda: psutil.Process(process.pid).children(), "the command runs")
        os.close(ours)
        assert process.wait(PATIENCE) == 128 + signal.SIGKILL


def test_the_command_inherits_no_descriptor_no_variable_and_no_ignored_signal() -> None:
    script = (
        "import os; print(os.listdir('/proc/self/fd'), open('/proc/self/environ').read(), os.getsid(0) == os.getpid());"
    )
    script += "print([line for line in open('/proc/self/status') if line[:6] in ('SigBlk', 'SigIgn')])"
    with reaped(sys.executable, "-I", "-S", "-c", script, env={"ONLY": "this"}, stdout=subprocess.PIPE) as (process, _):
        lines = process.stdout.read().decode().splitlines()
    assert lines[0] == "['0', '1', '2', '3'] ONLY=this\0 True"  # 3 is the listing itself
    assert "SigBlk:\\t0000000000000000" in lines[1]
    assert "SigIgn:\\t0000000001001000" in lines[1]  # SIGPIPE and SIGXFSZ: what any Python ignores by itself


def test_eof_passes_through_in_both_directions() -> None:
    with reaped("cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as (process, _):
        process.stdin.write(b"hello")
        process.stdin.close()
        assert process.stdout.read() == b"hello"
        assert process.wait(PATIENCE) == 0


def test_a_child_that_ends_on_sigterm_may_use_its_grace(tmp_path: Path) -> None:
    ready, saved = tmp_path / "ready", tmp_path / "saved"
    script = f"trap 'sleep 0.3; echo all > {saved}; exit 7' TERM; : > {ready}; while :; do sleep 0.05; done"
    with reaped("/bin/sh", "-c", script, grace=10_000) as (process, lifeline):
        wait_until(ready.exists, "the child is ready")
        begun = time.monotonic()
        lifeline.shutdown(socket.SHUT_WR)
        assert process.wait(PATIENCE) == 7
        assert time.monotonic() - begun < 9
    assert saved.read_text() == "all\n"


def test_a_child_that_ignores_sigterm_is_gone_after_the_grace_time(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with reaped(*program("ignores_sigterm", ready), grace=300) as (process, lifeline):
        wait_until(ready.exists, "the child is ready")
        begun = time.monotonic()
        lifeline.shutdown(socket.SHUT_WR)
        assert process.wait(PATIENCE) == 128 + signal.SIGKILL
        assert time.monotonic() - begun >= 0.3


def test_a_stopped_child_gets_its_sigterm(tmp_path: Path) -> None:
    with reaped("sleep", "60", grace=10_000) as (process, lifeline):
        pid, _ = heard(lifeline, "started")
        os.kill(pid, signal.SIGSTOP)
        lifeline.shutdown(socket.SHUT_WR)
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM


def test_without_linger_what_outlives_the_command_is_killed_at_once(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with reaped(*program("detaches", ready), stdin=subprocess.PIPE) as (process, _):
        wait_until(ready.exists, "the daemon is ready")
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
    assert named(ready) == []


def test_with_linger_what_outlives_the_command_can_be_looked_at_until_the_owner_lets_go(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with reaped(*program("detaches", ready), stdin=subprocess.PIPE, linger=60_000) as (process, lifeline):
        wait_until(ready.exists, "the daemon is ready")
        process.stdin.close()
        assert heard(lifeline, "ended") == [0]
        (daemon,) = psutil.Process(process.pid).children(recursive=True)
        assert str(ready) in daemon.cmdline()
        assert process.poll() is None
        lifeline.shutdown(socket.SHUT_WR)
        assert process.wait(PATIENCE) == 0
        assert not daemon.is_running()


def test_lingering_ends_by_itself(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with reaped(*program("detaches", ready), stdin=subprocess.PIPE, linger=100) as (process, _):
        wait_until(ready.exists, "the daemon is ready")
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
    assert named(ready) == []


def test_zombies_of_a_live_child_stay_and_those_that_fell_to_the_reaper_do_not(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = (
        "import os, pathlib, signal; signal.alarm(60)\n"
        "if os.fork() == 0: os._exit(0)\n"  # never waited for: the child's own leak
        "middle = os.fork()\n"
        "if middle == 0:\n"
        "    if os.fork() == 0: os._exit(0)\n"  # falls to the reaper
        "    os._exit(0)\n"
        f"os.waitpid(middle, 0); pathlib.Path({str(ready)!r}).touch(); signal.pause()"
    )
    with reaped(sys.executable, "-I", "-S", "-c", script) as (process, lifeline):
        wait_until(ready.exists, "the child is ready")
        pid, _ = heard(lifeline, "started")
        (leaked,) = psutil.Process(pid).children()
        wait_until(lambda: leaked.status() == psutil.STATUS_ZOMBIE, "the leaked child has ended")
        wait_until(
            lambda: psutil.Process(process.pid).children(recursive=True) == [psutil.Process(pid), leaked], "rest"
        )


def test_a_tree_that_forks_while_it_is_killed_does_not_outrun_the_reaper(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with reaped(*program("forks_on", ready), linger=60_000) as (process, lifeline):
        wait_until(ready.exists, "the child is ready")
        lifeline.shutdown(socket.SHUT_WR)
        process.wait(PATIENCE)
    assert named(ready) == []


def test_a_kill_of_the_owners_process_group_does_not_reach_the_reaper(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with owner_of("all_at_once", ready) as owner:
        cell = psutil.Process(owner.pid).children(recursive=True)
        os.killpg(owner.pid, signal.SIGKILL)  # as `timeout --signal KILL` does
        wait_until(lambda: all(gone(process, owner) for process in cell), "nothing of the cell is left")


def test_the_owners_death_is_seen_although_a_forked_copy_of_it_holds_the_lifeline(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with owner_of("all_at_once", ready) as owner:
        cell = psutil.Process(owner.pid).children(recursive=True)
        owner.stdin.write("fork\n")
        owner.stdin.flush()
        assert owner.wait(PATIENCE) == -signal.SIGKILL
        wait_until(lambda: all(gone(process, owner) for process in cell), "nothing of the cell is left")
        (copy,) = named(ready)
        assert "fork" in copy.cmdline()[4]


def test_a_killed_reaper_takes_its_child_along(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with reaped(*program("ignores_sigterm", ready)) as (process, lifeline):
        wait_until(ready.exists, "the child is ready")
        child = psutil.Process(heard(lifeline, "started")[0])
        process.kill()
        wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, "the child is dead")
