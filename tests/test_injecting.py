"""The agent put into running processes: refused in words where it cannot be, and for real on each Python that can."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path

import pytest

import leakcheck
from leakcheck.errors import TargetError, UsageError
from leakcheck.targets import injecting

OBEYS = Path(__file__).with_name("programs") / "agent_obeys.py"
PATIENCE = 60.0
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
ABLE = sys.version_info >= injecting.OLDEST
CALL = """
import json, sys
from pathlib import Path
from leakcheck.targets import injecting
done = getattr(injecting, sys.argv[1])(*json.loads(sys.argv[2]), *map(Path, sys.argv[3:]))
print(json.dumps(done))
"""


def _found(version):
    """A Python of that version, on PATH or among pyenv's, that really starts; None without one."""
    pyenv = shutil.which("pyenv")
    roots = [os.environ.get("PYENV_ROOT"), pyenv and Path(pyenv).resolve().parent.parent]
    installed = [path for root in filter(None, roots) for path in Path(root).glob(f"versions/{version}*/bin/python")]
    own = sys.executable if version == OWN else None
    for candidate in filter(None, (own, shutil.which(f"python{version}"), *sorted(map(str, installed)))):
        asks = [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        said = subprocess.run(asks, capture_output=True, text=True, check=False, timeout=PATIENCE)
        if said.stdout.strip() == version:
            return candidate
    return None


interpreter = cache(_found)
LATEST = [version for version in ("3.14", "3.15") if interpreter(version)]
OLDER = [version for version in ("3.8", "3.11", "3.13") if interpreter(version)]


@pytest.fixture
def folder():
    """Short: a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="lc-") as made:
        yield Path(made)


@pytest.fixture
def start():
    """Start a process that says a line once it is up; all of them are gone afterwards."""
    started = []

    def begin(*command, **options):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(list(map(str, command)), text=True, start_new_session=True, **{**pipes, **options})
        started.append(process)
        return process

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with process:
            process.wait()


def do(process, line):
    """Have the program run a line; what it printed before `ok`."""
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return heard(process)


def heard(process):
    said = []
    while (line := process.stdout.readline()) not in ("ok\n", ""):
        said.append(line.rstrip("\n"))
    assert line == "ok\n", (said, process.stderr.read())
    return said


def ask(path, question):
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(PATIENCE)
        asker.connect(str(path))
        asker.sendall(json.dumps(question).encode() + b"\n")
        read = b""
        while part := asker.recv(65536):
            read += part
    return json.loads(read)


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.01)
    return found


# Refused before anything starts


def test_a_pid_of_no_process_is_told(start):
    process = start("true")
    process.wait()
    with pytest.raises(TargetError, match=rf"There is no process {process.pid}; find the pid with"):
        injecting.check_inside(process.pid)


def test_a_target_that_is_no_python_is_refused(start):
    process = start("cat")
    until(lambda: injecting.executable(process.pid) not in (None, Path(sys.executable).name), "exec")
    name = injecting.executable(process.pid)
    with pytest.raises(UsageError) as told:
        injecting.check_inside(process.pid)
    assert f"process {process.pid} ({name})" in str(told.value)
    assert "leave --inside out" in str(told.value)


@pytest.mark.skipif(ABLE, reason="this Python can enter a running one")
def test_a_leakcheck_on_an_older_python_says_so_and_what_needs_no_such_thing(start):
    process = start(sys.executable, OBEYS)
    do(process, "pass")
    with pytest.raises(UsageError) as told:
        injecting.check_inside(process.pid)
    assert f"this is Python {OWN};" in str(told.value)
    assert "leakcheck audit … -- COMMAND" in str(told.value)


@pytest.mark.skipif(ABLE, reason="this Python can enter a running one")
def test_on_an_older_python_each_process_is_a_problem_of_its_own_and_none_is_disturbed(start, folder):
    processes = [start(sys.executable, OBEYS) for _ in range(2)]
    for process in processes:
        do(process, "pass")
    pids = [process.pid for process in processes]
    problems = injecting.inject(pids[0], pids, folder)
    assert len(problems) == 2
    for pid, problem in zip(pids, problems, strict=True):
        assert problem.startswith(f"no agent inside process {pid}: leakcheck runs on Python 3.")
        assert "from 3.14 on" in problem
    for process in processes:
        assert do(process, "print(1)") == ["1"]
        assert process.communicate() == ("", "")
    assert list(folder.glob("*.sock")) == []


def test_a_tree_with_a_node_process_passes(start, monkeypatch):
    process = start("cat")
    monkeypatch.setattr(injecting, "executable", {process.pid: "node"}.get)
    injecting.check_inside(process.pid)


@pytest.mark.parametrize("own", [(3, 14), (3, 15)])
@pytest.mark.parametrize("version", OLDER)
def test_a_target_of_another_version_is_refused_whatever_leakcheck_runs_on(start, monkeypatch, version, own):
    process = start(interpreter(version), OBEYS)
    do(process, "pass")
    monkeypatch.setattr(injecting, "_OWN", own)
    with pytest.raises(UsageError, match=rf"{process.pid} runs Python {version}, which cannot be entered while it"):
        injecting.check_inside(process.pid)


@pytest.mark.parametrize("version", OLDER)
def test_the_version_is_known_by_the_programs_name_or_by_what_is_loaded(start, monkeypatch, version):
    process = start(interpreter(version), OBEYS)
    do(process, "import ctypes")
    expected = tuple(map(int, version.split(".")))
    assert injecting.version_of(process.pid) == expected
    monkeypatch.setattr(injecting, "executable", lambda _: "python")
    assert injecting.version_of(process.pid) == expected


def test_what_has_ended_is_no_problem(start, folder):
    process = start(sys.executable, "-c", "pass")
    process.wait()
    assert injecting.inject(process.pid, [process.pid], folder) == ()
    assert injecting.withdraw([process.pid], folder) == ()
    assert list(folder.iterdir()) == []


def test_what_is_no_python_is_passed_over(start, folder):
    process = start("cat")
    until(lambda: injecting.executable(process.pid) not in (None, Path(sys.executable).name), "exec")
    assert injecting.inject(process.pid, [], folder) == ()
    assert list(folder.iterdir()) == []


def test_an_agent_that_does_not_agree_to_leave_is_told_of(start, folder):
    process = start(sys.executable, OBEYS)
    do(process, "pass")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / f"{process.pid}.sock"))
    (problem,) = injecting.withdraw([process.pid], folder)
    assert problem.startswith(f"the agent stays inside process {process.pid}, idle, until that ends: Connection")


# For real


class TestForReal:
    """`__test__`: not collected where there is no such Python."""

    __test__ = bool(LATEST)

    @pytest.fixture(params=LATEST)
    def python(self, request):
        return interpreter(request.param)

    @pytest.fixture
    def call(self, python):
        """Call a function of `injecting` in a leakcheck on that Python."""

        def run(name, *arguments, folder=None, fails=False, **variables):
            above = str(Path(leakcheck.__file__).parents[1])
            command = [python, "-c", CALL, name, json.dumps(arguments), *([str(folder)] if folder else [])]
            environment = {**os.environ, "PYTHONPATH": above, "PYTHONDONTWRITEBYTECODE": "1", **variables}
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
            )
            assert (done.returncode != 0) is fails, done.stderr
            return done.stderr if fails else json.loads(done.stdout)

        return run

    @pytest.fixture
    def target(self, start, python):
        """A program that runs Python all the time, so that it is entered at once, and does what it is told."""

        def begin(*options, **variables):
            process = start(python, *options, OBEYS, env={**os.environ, **variables})
            do(process, "import threading; import time")
            return process

        return begin

    def busy(self, process, seconds=PATIENCE):
        """Have the main thread run Python so long; it says `ok` then."""
        line = f"exec('end = time.time() + {seconds}\\nwhile time.time() < end: time.sleep(.01)')"
        process.stdin.write(line + "\n")
        process.stdin.flush()

    def test_the_agent_comes_into_a_running_process_answers_and_leaves(self, call, target, folder):
        process = target("-X", "dev", "-W", "error")
        do(process, "before = set(globals()), dict(__import__('os').environ), set(__import__('sys').path)")
        call("check_inside", process.pid)
        self.busy(process, 4)
        assert call("inject", process.pid, [process.pid], folder=folder) == []
        path = folder / f"{process.pid}.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert all(stat.S_IMODE(one.stat().st_mode) == 0o600 for one in folder.glob("inject-*.py"))
        answer = ask(path, {"ask": "floor", "census": 0.3})
        assert (answer["pid"], answer["problem"]) == (process.pid, None)
        heard(process)
        now = "set(globals()), dict(__import__('os').environ), set(__import__('sys').path)"
        (said,) = do(process, f"now = {now}; print(sorted(now[0] ^ before[0]), now[1:] == before[1:])")
        assert said == "['before', 'end'] True"  # both of this test
        assert call("inject", process.pid, [process.pid], folder=folder) == []  # who has an agent is left alone
        assert call("withdraw", [process.pid], folder=folder) == []
        until(lambda: len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 1, "the agent's thread is gone")
        links = [str(one.readlink()) for one in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert not [link for link in links if link.startswith("socket:")]
        assert process.communicate() == ("", "")
        assert process.returncode == 0

    def test_a_second_audit_enters_the_same_process_again_and_there_is_one_agent(self, call, target, folder):
        process = target()
        self.busy(process, 30)
        for number in range(3):
            made = folder / str(number)
            made.mkdir(mode=0o700)
            assert call("inject", process.pid, [], folder=made) == []
            assert ask(made / f"{process.pid}.sock", {"ask": "floor"})["pid"] == process.pid
            assert len(list(Path(f"/proc/{process.pid}/task").iterdir())) == 2
            if number:
                assert call("withdraw", [process.pid], folder=made) == []
            else:
                shutil.rmtree(made)  # that audit was killed

    def test_what_an_injected_process_forks_has_an_agent_of_its_own(self, call, target, folder):
        process = target("-W", "error")
        self.busy(process, 2)
        assert call("inject", process.pid, [], folder=folder) == []
        heard(process)
        (said,) = do(process, "import os, signal; child = os.fork(); child or signal.pause(); print(child)")
        until((folder / f"{said}.sock").exists, "the child's socket")
        assert ask(folder / f"{said}.sock", {"ask": "floor"})["pid"] == int(said)
        do(process, "os.kill(child, signal.SIGKILL); os.waitpid(child, 0)")

    def test_a_main_thread_in_a_system_call_is_told_of_and_entered_once_it_is_back(self, call, target, folder):
        process = target()  # waits for a line in read(2)
        (problem,) = call("inject", process.pid, [], folder=folder)
        assert problem.startswith(f"no agent inside process {process.pid} yet: its main thread has run no Python")
        do(process, "pass")
        until((folder / f"{process.pid}.sock").exists, "the agent comes late")
        assert ask(folder / f"{process.pid}.sock", {"ask": "floor"})["pid"] == process.pid

    def test_a_script_that_was_never_run_is_taken_back(self, call, target, folder):
        process = target()
        assert len(call("inject", process.pid, [], folder=folder)) == 1
        assert call("withdraw", [process.pid], folder=folder) == []
        shutil.rmtree(folder)
        folder.mkdir(mode=0o700)
        do(process, "pass")
        assert process.communicate() == ("", "")
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("how", ["option", "variable"])
    def test_a_process_that_forbids_it_is_told_of(self, call, target, folder, how):
        given = {"PYTHON_DISABLE_REMOTE_DEBUG": "1"} if how == "variable" else {}
        process = target(*(("-X", "disable-remote-debug") if how == "option" else ()), **given)
        (problem,) = call("inject", process.pid, [], folder=folder)
        assert problem.startswith(f"no agent inside process {process.pid}: Remote debugging is not enabled in the rem")
        assert "-X disable-remote-debug" in problem
        assert do(process, "print(1)") == ["1"]

    def test_a_leakcheck_that_must_not_enter_says_so(self, call, target, folder):
        process = target()
        (problem,) = call("inject", process.pid, [], folder=folder, PYTHON_DISABLE_REMOTE_DEBUG="1")
        assert "Remote debugging is not enabled (by PYTHON_DISABLE_REMOTE_DEBUG" in problem

    @pytest.mark.parametrize("version", OLDER)
    def test_of_a_tree_of_two_versions_the_one_is_entered_and_the_other_told_of(
        self, call, target, start, folder, version
    ):
        other, process = start(interpreter(version), OBEYS), target()
        do(other, "pass")
        self.busy(process)
        assert f"runs Python {version}, which cannot be entered" in call("check_inside", other.pid, fails=True)
        (problem,) = call("inject", process.pid, [other.pid, process.pid], folder=folder)
        assert problem.startswith(f"no agent inside process {other.pid}: it runs Python {version}, and leakcheck ")
        assert (folder / f"{process.pid}.sock").exists()

    def test_an_agent_that_cannot_listen_is_told_of_and_nothing_is_printed(self, call, target, folder):
        folder = folder / ("x" * 100)  # longer than a socket's path may be
        folder.mkdir(mode=0o700)
        process = target("-X", "dev", "-W", "error")
        self.busy(process, 3)
        (problem,) = call("inject", process.pid, [], folder=folder)
        assert problem.startswith(f"no agent inside process {process.pid}: it could not listen (")
        heard(process)
        assert process.communicate() == ("", "")

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
    def test_the_folder_is_lent_to_the_user_that_the_target_runs_as(self, call, target, folder):
        process = target()
        do(process, "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)")
        self.busy(process)
        told = call("inject", process.pid, [], folder=folder)
        assert folder.stat().st_uid == 65534
        assert (folder / f"inject-{process.pid}.py").stat().st_uid == 65534
        if told:  # where the agent's own files are closed to that user, it says so
            assert "PermissionError" in told[0] or "ModuleNotFoundError" in told[0]
        else:
            assert ask(folder / f"{process.pid}.sock", {"ask": "floor"})["pid"] == process.pid

    @pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare")
    def test_a_process_with_other_file_systems_is_told_of_and_prints_nothing(self, call, start, python, folder):
        command = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs none {folder} && exec "$0" "$@"', python, OBEYS]
        if subprocess.run([*command[:4], f"mount -t tmpfs none {folder}"], capture_output=True, check=False).returncode:
            pytest.skip("no mounts here")
        process = start(*command)
        do(process, "pass")
        (problem,) = call("inject", process.pid, [], folder=folder)
        assert problem.startswith(f"no agent inside process {process.pid}: it has other file systems than leakcheck")
        do(process, "pass")
        assert process.communicate() == ("", "")
