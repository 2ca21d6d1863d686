"""Process trees, the log, and both ways to get hold of a target."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from leakcheck.credentials import Secrets
from leakcheck.errors import TargetError, UsageError
from leakcheck.targets import Target, tree
from leakcheck.targets.log import TargetLog
from leakcheck.targets.running import Running
from leakcheck.targets.spawn import Spawned
from leakcheck.targets.tree import Tree, is_zombie, lives, parent_of, start_time, state_of

pytestmark = pytest.mark.share(3)

PROGRAMS = Path(__file__).with_name("programs")
PATIENCE = 20.0
NONE = Secrets()
SECRET = "correct-horse-battery"
PYTHON = Path(sys.executable).resolve().name


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline, pause = time.monotonic() + PATIENCE, 0.002
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def python(script: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", f"import os, signal, sys, time; signal.alarm(60)\n{script}"]


def program(name: str, *arguments: Path) -> list[str]:
    return [sys.executable, "-I", "-S", str(PROGRAMS / f"child_{name}.py"), *map(str, arguments)]


@contextlib.contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the test's own that has said a line."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def spawned(tmp_path: Path, *command: str, **changed: object) -> Spawned:
    settings = {
        "pipes": True,
        "environment": {},
        "cwd": None,
        "log_path": tmp_path / "target.log",
        "secrets": NONE,
        "grace_seconds": 0.3,
    }
    return Spawned(command, **{**settings, **changed})


def open_files() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def alive(pid: int) -> bool:
    return start_time(pid) is not None and not is_zombie(pid)


# --- tree ---------------------------------------------------------------------------------------------------------

FAMILY = """
if os.fork() == 0:
    signal.alarm(60)
    if os.fork() == 0: os.execvp("sleep", ["sleep", "60"])
    signal.pause()
print(flush=True)
signal.pause()
"""


def test_a_tree_is_listed_root_first_with_roles_from_the_executables() -> None:
    with started(python(FAMILY)) as process:
        below = Tree(process.pid, NONE, skip_root=False)
        wait_until(lambda: [one.command for one in below.members()][2:] == ["sleep 60"], "all are there")
        root, middle, leaf = below.members()
        assert root.pid == process.pid
        assert [one.role for one in (root, middle, leaf)] == [PYTHON, f"{PYTHON}>{PYTHON}", f"{PYTHON}>{PYTHON}>sleep"]
        assert leaf.command == "sleep 60"
        assert root.started == start_time(root.pid)
        assert psutil.Process(leaf.pid).ppid() == middle.pid
        psutil.Process(leaf.pid).kill()


def test_the_kernel_without_lists_of_children_gives_the_same_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    with started(python(FAMILY)) as process:
        below = Tree(process.pid, NONE, skip_root=False)
        wait_until(lambda: [one.command for one in below.members()][2:] == ["sleep 60"], "all are there")
        monkeypatch.setattr(tree, "_kernel_lists_children", lambda: False)
        assert Tree(process.pid, NONE, skip_root=False).members() == below.members()
        psutil.Process(below.members()[2].pid).kill()


def test_children_of_every_thread_are_found() -> None:
    script = (
        "import subprocess, threading\n"
        "def begin(): subprocess.Popen(['sleep', '60']); print(flush=True); time.sleep(60)\n"
        "threading.Thread(target=begin).start()"
    )
    with started(python(script)) as process:
        below = Tree(process.pid, NONE, skip_root=False)
        wait_until(lambda: [one.role for one in below.members()] == [PYTHON, f"{PYTHON}>sleep"], "both are there")
        psutil.Process(below.members()[1].pid).kill()


def test_a_double_fork_that_was_seen_stays_a_member_without_a_reaper() -> None:
    script = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.alarm(60)
        os.execvp("sleep", ["sleep", "60"])
    sys.stdin.readline()
    os._exit(0)
print(flush=True)
os.wait()
signal.pause()
"""
    with started(python(script)) as process:
        below = Tree(process.pid, NONE, skip_root=False)
        wait_until(lambda: len(below.members()) == 3, "the middle one has not ended yet")
        wait_until(lambda: below.members()[2].role.endswith(">sleep"), "the daemon is a sleep")
        role, daemon = below.members()[2].role, below.members()[2].pid
        process.stdin.write(b"\n")
        process.stdin.flush()
        wait_until(lambda: len(below.members()) == 2, "the middle one ended")
        assert parent_of(daemon) != process.pid
        assert [(one.pid, one.role) for one in below.members()] == [(process.pid, PYTHON), (daemon, role)]
        process.kill()
        process.wait()
        assert [one.pid for one in below.members()] == [daemon]
        psutil.Process(daemon).kill()
        wait_until(lambda: not alive(daemon), "the daemon is dead")


def test_zombies_are_members_and_a_first_thread_that_ended_alone_is_no_zombie() -> None:
    with started(python("if os.fork() == 0: os._exit(0)\nprint(flush=True); signal.pause()")) as process:
        below = Tree(process.pid, NONE, skip_root=False)
        wait_until(lambda: len(below.members()) == 2 and is_zombie(below.members()[1].pid), "the child has ended")
        zombie = below.members()[1]
        assert state_of(zombie.pid) == "Z"
        assert parent_of(zombie.pid) == process.pid
        assert zombie.role.startswith(
            f"{PYTHON}>python"
        )  # of its executable, or its name if it had ended at first sight
        assert below.members()[1] == zombie
    script = (
        "import threading, ctypes\n"
        "threading.Thread(target=lambda: (print(flush=True), time.sleep(60))).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    with started(python(script)) as process:
        comm = Path(f"/proc/{process.pid}/task/{process.pid}/stat")
        wait_until(lambda: comm.read_text().rpartition(")")[2].split()[0] == "Z", "the first thread has ended")
        assert not is_zombie(process.pid)
        assert state_of(process.pid) == "S"


def test_an_exec_is_seen_although_the_pid_stays() -> None:
    with started(python("print(flush=True); sys.stdin.readline(); os.execvp('sleep', ['sleep', '60'])")) as process:
        below = Tree(process.pid, NONE, skip_root=False)
        assert below.members()[0].role == PYTHON
        process.stdin.write(b"\n")
        process.stdin.flush()
        wait_until(lambda: below.members()[0].command == "sleep 60", "the new program is seen")
        assert below.members()[0].role == "sleep"


def test_an_exec_of_the_same_program_is_seen_by_its_command() -> None:
    again = "os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)'])"
    with started(python(f"print(flush=True); sys.stdin.readline(); {again}")) as process:
        below = Tree(process.pid, NONE, skip_root=False)
        assert "signal.alarm" in below.members()[0].command
        process.stdin.write(b"\n")
        process.stdin.flush()
        wait_until(lambda: "time.sleep(60)" in below.members()[0].command, "the new command line is seen")


def test_a_process_name_with_blanks_and_brackets_is_parsed(tmp_path: Path) -> None:
    odd = tmp_path / "a) R 1 (b>"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([str(odd), "60"]) as process:
        wait_until(lambda: b"a) R" in Path(f"/proc/{process.pid}/stat").read_bytes(), "it runs")
        assert parent_of(process.pid) == os.getpid()
        assert start_time(process.pid) == Tree(process.pid, NONE, skip_root=False).members()[0].started
        process.kill()


def test_a_role_keeps_its_last_four_executables() -> None:
    script = "n = 6\nwhile n and os.fork() == 0: n -= 1; signal.alarm(60)\nif n == 6: print(flush=True)\nsignal.pause()"
    with started(python(script)) as process:
        below = Tree(process.pid, NONE, skip_root=False)
        wait_until(lambda: len(below.members()) == 7, "all generations are there")
        assert below.members()[6].role == ">".join([PYTHON] * 4)
        for member in below.members()[1:]:
            psutil.Process(member.pid).kill()


def test_a_command_line_shows_no_credential_no_escape_and_at_most_200_characters() -> None:
    command = [*python("print(flush=True); signal.pause()"), "\x1b[31m\u202e", SECRET, "--token", "abc123", "x " * 400]
    with started(command) as process:
        shown = Tree(process.pid, Secrets([SECRET]), skip_root=False).members()[0].command
    assert len(shown) == 200
    assert "\\x1b[31m\\u202e" in shown
    assert SECRET not in shown
    assert "abc123" not in shown


def test_this_process_and_what_it_starts_are_never_members() -> None:
    with started(python("print(flush=True); signal.pause()")) as process:
        assert parent_of(process.pid) == os.getpid()
        pids = [one.pid for one in Tree(os.getppid(), NONE, skip_root=False).members()]
        assert os.getppid() in pids
        assert os.getpid() not in pids
        assert process.pid not in pids


def test_a_tree_of_a_pid_that_is_reused_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    with started(python("print(flush=True); signal.pause()")) as process:
        below = Tree(process.pid, NONE, skip_root=False)
        assert len(below.members()) == 1
        reader = tree.Stat.read

        def as_if_started_later(pid: int) -> tree.Stat:
            stat = reader(pid)
            return tree.Stat(
                comm=stat.comm, state=stat.state, parent=stat.parent, started=stat.started + 5, stack=stat.stack
            )

        monkeypatch.setattr(tree.Stat, "read", as_if_started_later)
        assert below.members() == ()


def test_looking_at_three_processes_takes_less_than_a_millisecond() -> None:
    with started(python(FAMILY)) as process:
        below = Tree(process.pid, NONE, skip_root=False)
        wait_until(lambda: [one.command for one in below.members()][2:] == ["sleep 60"], "all are there")
        costs = []
        for _ in range(200):
            begun = time.thread_time()
            below.members()
            costs.append(time.thread_time() - begun)
        assert sorted(costs)[100] < 0.001
        psutil.Process(below.members()[2].pid).kill()


# --- log ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def logged(path: Path, secrets: Secrets = NONE) -> Iterator[tuple[TargetLog, int]]:
    reading, writing = os.pipe()
    log = TargetLog(str(path), reading, secrets)
    try:
        yield log, writing
    finally:
        log.close()
        os.close(writing)


def write_all(pipe: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(pipe, view[: 1 << 20]) :]


def test_what_the_target_writes_is_kept_line_by_line(tmp_path: Path) -> None:
    with logged(tmp_path / "log") as (log, pipe):
        os.write(pipe, b"one\ntw")
        assert log.last_lines() == ("one", "tw")
        os.write(pipe, b"o\r\n\xff\x1b[31mred\ttab\nthr")
        assert log.last_lines(3) == ("two", "�\\x1b[31mred\ttab", "thr")
        assert log.last_lines(0) == ()
    assert (tmp_path / "log").read_text() == "one\ntwo\n�\\x1b[31mred\ttab\nthr\n"
    assert log.last_lines(2) == ("�\\x1b[31mred\ttab", "thr")


def test_no_credential_reaches_the_log_wherever_the_chunks_are_cut(tmp_path: Path) -> None:
    with logged(tmp_path / "log", Secrets([SECRET])) as (log, pipe):
        for part in (
            b"got correct-ho",
            b"rse-battery and password=hunter2\n",
            b"x " * 1020 + SECRET.encode() + b" y" * 4000,
        ):
            os.write(pipe, part)
            assert SECRET not in "".join(log.last_lines())
    text = (tmp_path / "log").read_text()
    assert text.startswith("got ••• and password=•••\n")
    assert "hunter2" not in text
    assert "corr" not in text


def test_a_line_of_50_mb_is_cut_and_the_cut_is_told(tmp_path: Path) -> None:
    with logged(tmp_path / "log") as (log, pipe):
        size = 50 << 20
        write_all(pipe, b"a b " * (size // 4))
        write_all(pipe, b"\nafter\n")
        cut, after = log.last_lines()
    assert cut == "a b " * 512 + f" … {size - 2048} bytes of this line not kept"
    assert after == "after"
    text = (tmp_path / "log").read_text()
    assert text.startswith("a b a b")
    assert text.endswith("\nafter\n")
    assert len(text) < 10_000


def test_of_a_long_log_the_head_and_the_last_200_lines_are_kept(tmp_path: Path) -> None:
    lines = [b"line %07d of the flood\n" % number for number in range(400_000)]
    with logged(tmp_path / "log") as (log, pipe):
        write_all(pipe, b"".join(lines))
        assert log.last_lines(1) == ("line 0399999 of the flood",)
    kept = (tmp_path / "log").read_text().splitlines()
    (gap,) = [number for number, line in enumerate(kept) if "bytes not kept" in line]
    assert [line.encode() + b"\n" for line in kept[:gap]] == lines[:gap]
    assert [line.encode() + b"\n" for line in kept[gap + 1 :]] == lines[-200:]
    assert (1 << 20) - 70_000 < gap * len(lines[0]) < (1 << 20) + 70_000
    told = int(kept[gap].split()[1])
    assert abs(told - (len(lines) - gap - 200) * len(lines[0])) <= len(lines[0])


def test_a_log_just_over_the_head_loses_nothing(tmp_path: Path) -> None:
    text = b"".join(b"%060d\n" % number for number in range(17_200)) + b"\n" + b"unfinished"
    assert len(text) > 1 << 20
    with logged(tmp_path / "log") as (log, pipe):
        write_all(pipe, text[: 1 << 20])
        assert log.last_lines(1)
        write_all(pipe, text[1 << 20 :][:1000])
        write_all(pipe, text[1 << 20 :][1000:])
    assert (tmp_path / "log").read_bytes() == text + b"\n"


def test_closing_does_not_wait_for_an_orphan_that_holds_the_pipe(tmp_path: Path) -> None:
    with logged(tmp_path / "log") as (log, pipe):
        os.write(pipe, b"last words")
        begun = time.monotonic()
        log.close()
        assert time.monotonic() - begun < 5
        log.close()
    assert (tmp_path / "log").read_text() == "last words\n"


def test_a_full_disk_is_told_and_the_pipe_is_emptied_all_the_same() -> None:
    with logged(Path("/dev/full")) as (log, pipe):
        write_all(pipe, b"a line\n" * 100_000)
        assert log.last_lines(1) == ("a line",)
        assert log.problem == "/dev/full: No space left on device; the target's output is not kept from here on"


# --- spawn --------------------------------------------------------------------------------------------------------


def test_a_target_is_talked_to_by_its_pipes_and_its_stderr_is_logged(tmp_path: Path) -> None:
    script = "print('to the log', file=sys.stderr, flush=True)\n"
    script += "for line in sys.stdin: print(line.upper(), end='', flush=True)"
    with spawned(tmp_path, *python(script)) as target:
        _: Target = target
        target.stdin.write(b"hello\n")
        assert target.stdout.read(6) == b"HELLO\n"
        assert target.exit_code() is None
        assert target.members() == (target.root,)
        assert target.root.role == PYTHON
        assert target.root.pid != target.reaper_pid == parent_of(target.root.pid)
        assert target.end(5) == ()
        assert target.exit_code() == 0
        assert target.members() == ()
        assert not target.needed_signal
        assert target.last_lines() == ("to the log",)
    assert (tmp_path / "target.log").read_text() == "to the log\n"


def test_without_pipes_all_output_is_logged_and_stdin_is_empty(tmp_path: Path) -> None:
    script = "print(repr(sys.stdin.read()), os.environ['PORT'], os.getcwd(), flush=True); sys.exit('bye')"
    with spawned(tmp_path, *python(script), pipes=False, environment={"PORT": "8123"}, cwd=str(tmp_path)) as target:
        assert target.stdin is None
        assert target.stdout is None
        wait_until(lambda: target.exit_code() is not None, "it ends")
        assert target.exit_code() == 1
        assert target.last_lines() == (f"'' 8123 {tmp_path}", "bye")


def test_a_target_that_ends_at_once_still_has_a_root(tmp_path: Path) -> None:
    with spawned(tmp_path, "true") as target:
        assert target.root.role in {"true", "coreutils"}
        wait_until(lambda: target.exit_code() == 0, "it ends")
        assert target.members() == ()
        assert target.end(1) == ()


def test_the_signal_that_ended_the_root_is_told(tmp_path: Path) -> None:
    with spawned(tmp_path, "sleep", "60") as target:
        os.kill(target.root.pid, signal.SIGUSR1)
        wait_until(lambda: target.exit_code() is not None, "it ends")
        assert target.exit_code() == -signal.SIGUSR1


def test_orphans_are_reported_by_end_and_reaped_at_exit(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with spawned(tmp_path, *program("detaches", ready)) as target:
        wait_until(ready.exists, "the daemon is ready")
        assert [one.role for one in target.members()] == [PYTHON, f"{PYTHON}>{PYTHON}"]
        (orphan,) = target.end(0.3)
        assert target.exit_code() == 0
        assert orphan.role == f"{PYTHON}>{PYTHON}"
        assert str(ready) in orphan.command
        assert parent_of(orphan.pid) == target.reaper_pid
        assert target.members() == (orphan,)
    assert start_time(orphan.pid) is None


def test_a_stubborn_target_can_be_asked_three_times_and_is_gone_at_exit(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with spawned(tmp_path, *program("ignores_sigterm", ready), grace_seconds=30) as target:
        wait_until(ready.exists, "it is ready")
        for _ in range(3):
            assert target.end(0.1) == (target.root,)
            assert target.exit_code() is None
        assert target.needed_signal
        begun = time.monotonic()
    assert time.monotonic() - begun < 10, "a target that was asked already is not given another grace"
    assert target.exit_code() == -signal.SIGKILL
    assert start_time(target.root.pid) is None


def test_a_server_that_ends_on_sigterm_only_is_asked_at_half_the_grace_or_at_once_without_pipes(tmp_path: Path) -> None:
    with spawned(tmp_path, "sleep", "60") as target:
        begun = time.monotonic()
        assert target.end(1.0) == ()
        assert time.monotonic() - begun >= 0.5
        assert target.exit_code() == -signal.SIGTERM
    with spawned(tmp_path, "sleep", "60", pipes=False) as target:
        begun = time.monotonic()
        assert target.end(30.0) == ()
        assert time.monotonic() - begun < 10


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("child", ["good", "floods", "all_at_once"])
def test_nothing_is_left_when_the_body_raises(child: str, error: type[BaseException], tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    before = open_files()
    members = ()
    with pytest.raises(error), spawned(tmp_path, *program(child, ready)) as target:  # noqa: PT012 - the body is the test
        wait_until(ready.exists, "it is ready")
        members = target.members()
        raise error
    assert members
    assert [one for one in members if start_time(one.pid) == one.started] == []
    assert open_files() == before
    assert psutil.Process().children() == []


def test_nothing_is_left_when_the_reaper_is_stopped_or_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakcheck.targets.spawn._REAP_SECONDS", 0.3)
    for number in (signal.SIGSTOP, signal.SIGKILL):
        ready = tmp_path / f"ready{number}"
        with spawned(tmp_path, *program("detaches", ready)) as target:
            wait_until(ready.exists, "the daemon is ready")
            wait_until(lambda target=target: len(target.members()) == 2, "both are seen")
            members = target.members()
            os.kill(target.reaper_pid, number)
            if number == signal.SIGKILL:
                wait_until(lambda target=target: target.exit_code() == -signal.SIGKILL, "the root dies with its reaper")
        assert [one for one in members if alive(one.pid)] == []


AUDITOR = """
import sys
from leakcheck.credentials import Secrets
from leakcheck.targets.spawn import Spawned
log, *command = sys.argv[1:]
print("about to start", flush=True)
how = {"pipes": True, "environment": {}, "cwd": None, "log_path": log, "secrets": Secrets(), "grace_seconds": 0.2}
with Spawned(command, **how) as target:
    print("started", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("milliseconds", [0, 10, 20, 30, 45, 60, 100, 200])
def test_nothing_is_left_when_the_auditor_is_killed_at_any_instant(milliseconds: int, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    command = [sys.executable, "-P", "-c", AUDITOR, str(tmp_path / "log"), *program("all_at_once", ready)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as auditor:
        assert auditor.stdout.readline() == b"about to start\n"
        with contextlib.suppress(subprocess.TimeoutExpired):
            auditor.wait((milliseconds + random.random() * 10) / 1000)
        auditor.kill()

    def left() -> list[int]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(ready) in process.cmdline():
                    found.append(process.pid)
        return found

    wait_until(lambda: not left(), "nothing is left")


def test_no_credential_reaches_the_log_file_or_the_root(tmp_path: Path) -> None:
    command = (*python("print(sys.argv[1], file=sys.stderr)"), f"--password={SECRET}")
    with spawned(tmp_path, *command, secrets=Secrets([SECRET])) as target:
        wait_until(lambda: target.exit_code() == 0, "it ends")
        assert SECRET not in str((target.root, target.last_lines()))
    assert (tmp_path / "target.log").read_text() == "--password=•••\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([], "The command is empty; put it after --"),
        (["no-such-server-5a1"], "Command 'no-such-server-5a1' was not found on PATH; check the spelling"),
        (["local.py"], "Command 'local.py' was not found on PATH; for the file in the folder say ./local.py"),
        (["./nothing.py"], "Command './nothing.py' does not exist; check the spelling"),
        (["./local.py"], "Command './local.py' is not executable; make it so with chmod +x, or name its interpreter"),
        (["./"], "Command './' is a folder; name the program in it"),
    ],
)
def test_a_command_that_does_not_exist_is_a_usage_error_that_says_what_to_do(
    command: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "local.py").touch()
    with pytest.raises(UsageError) as caught:
        spawned(tmp_path, *command, cwd=str(tmp_path))
    assert str(caught.value).startswith(message)


def test_a_folder_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, what in (("missing", "does not exist"), ("file", "is not a folder")):
        with pytest.raises(UsageError, match=f"The working folder .*{name}' {what}; create it, or name another"):
            spawned(tmp_path, "true", cwd=str(tmp_path / name))


def test_a_log_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    before = open_files()
    with pytest.raises(UsageError, match=r"cannot be written \(No such file or directory\); choose another output"):
        spawned(tmp_path, "true", log_path=tmp_path / "missing" / "log").__enter__()
    assert open_files() == before


def test_what_the_kernel_cannot_execute_is_a_target_error_with_its_reason(tmp_path: Path) -> None:
    script = tmp_path / "server"
    script.write_text("no interpreter line")
    script.chmod(0o755)
    before = open_files()
    with pytest.raises(TargetError, match=r"server could not be started: cannot execute .*: Exec format error; check"):
        spawned(tmp_path, str(script)).__enter__()
    assert open_files() == before
    assert psutil.Process().children() == []


def test_only_what_is_there_and_has_not_ended_lives() -> None:
    with started(python("print(flush=True); signal.pause()")) as process:
        known = Tree(process.pid, NONE, skip_root=False).members()[0]
        assert lives(known)
        assert not lives(dataclasses.replace(known, started=known.started + 1))
        process.kill()
        wait_until(lambda: is_zombie(process.pid), "it has ended")
        assert not lives(known)
        process.wait()
        assert not lives(known)


# --- running ------------------------------------------------------------------------------------------------------


def test_a_running_process_is_looked_at_and_never_touched() -> None:
    with started(python("print(flush=True); signal.pause()")) as process:
        with Running(process.pid, NONE) as target:
            _: Target = target
            assert target.members() == (target.root,)
            assert target.root.pid == process.pid
            assert target.end(1) == ()
            assert target.exit_code() is None
            assert target.last_lines() == ()
        assert process.poll() is None
        process.kill()
        process.wait()
        assert target.members() == ()


def test_a_pid_that_is_gone_a_zombie_a_thread_or_our_own_is_a_target_error() -> None:
    with subprocess.Popen(["true"]) as process:
        wait_until(lambda: is_zombie(process.pid), "it has ended")
        with pytest.raises(TargetError, match=f"has ended and waits for its parent {os.getpid()}; give a live one"):
            Running(process.pid, NONE)
    for pid in (process.pid, 0, -1):
        with pytest.raises(TargetError, match=f"There is no process {pid}; find the pid with: ps -ef"):
            Running(pid, NONE)
    with pytest.raises(TargetError, match="is leakcheck itself"):
        Running(os.getpid(), NONE)
    script = (
        "import threading\nthreading.Thread(target=time.sleep, args=(60,)).start(); print(flush=True); time.sleep(60)"
    )
    with started(python(script)) as process:
        (thread,) = {int(entry.name) for entry in Path(f"/proc/{process.pid}/task").iterdir()} - {process.pid}
        with pytest.raises(TargetError, match=f"{thread} is a thread of process {process.pid}; use --pid"):
            Running(thread, NONE)


def test_a_process_of_somebody_else_is_a_target_error_that_names_the_user() -> None:
    """As root, looked at by `nobody`; otherwise process 1, which is root's, looked at by us."""
    if os.geteuid() != 0:
        with pytest.raises(TargetError, match="Process 1 belongs to user root; run as that user or as root"):
            Running(1, NONE)
        return
    with started(python("print(flush=True); signal.pause()")) as process:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                os.setuid(pwd.getpwnam("nobody").pw_uid)
                try:
                    Running(process.pid, NONE)
                except TargetError as error:
                    os.write(writing, str(error).encode())
            os._exit(0)
        os.close(writing)
        os.waitpid(child, 0)
        with os.fdopen(reading) as answer:
            assert answer.read() == f"Process {process.pid} belongs to user root; run as that user or as root"
