"""The agent inside real processes, of every Python of this machine that it is made for."""

from __future__ import annotations

import ast
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
from types import SimpleNamespace

import psutil
import pytest

import leakcheck
from leakcheck.probes import CannotReadError, Setting, inside
from leakcheck.targets import reaching

AGENT = Path(leakcheck.__file__).with_name("agent")
PROGRAMS = Path(__file__).with_name("programs")
PATIENCE = 60.0
FLOOR = {"ask": "floor", "census": 0.3}
MODERN = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
OLD = ("2.7", "3.5", "3.6", "3.7")


def _candidates(version):
    """Where this version may be: on PATH, and in the folder of versions that pyenv keeps."""
    yield shutil.which(f"python{version}")
    pyenv = shutil.which("pyenv")
    roots = [
        os.environ.get("PYENV_ROOT"),
        pyenv and Path(pyenv).resolve().parent.parent,
        Path(sys.base_prefix).parents[1],
    ]
    for root in filter(None, roots):
        yield from sorted(map(str, Path(root).glob(f"versions/{version}*/bin/python")))


@cache
def interpreter(version):
    """A Python of that version that really starts; None without one."""
    asks = [*("-c", "import sys; print('%d.%d' % sys.version_info[:2])")]
    for candidate in filter(None, _candidates(version)):
        said = subprocess.run([candidate, *asks], capture_output=True, text=True, check=False, timeout=PATIENCE)
        if said.stdout.strip() == version:
            return candidate
    return None


def pythons(versions):
    return [
        pytest.param(version, marks=pytest.mark.skipif(interpreter(version) is None, reason=f"no Python {version}"))
        for version in versions
    ]


each_python = pytest.mark.parametrize("version", pythons(MODERN))


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.01)
    return found


def ask(path, question, *, whole=True):
    """One conversation; `question` as it stands when it is bytes."""
    line = question if isinstance(question, bytes) else json.dumps(question).encode() + b"\n"
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(PATIENCE)
        asker.connect(str(path))
        asker.sendall(line)
        read = b""
        with contextlib.suppress(() if whole else ConnectionResetError):
            while part := asker.recv(65536):
                read += part
    assert not whole or (read.endswith(b"\n") and read.count(b"\n") == 1)
    return json.loads(read) if read else None


pytestmark = pytest.mark.share(7)
"""Each interpreter and each way in turn; coprime to the number of interpreters."""


class Target:
    """A process with the agent's environment, told what to do through stdin."""

    def __init__(self, folder, process):
        self.folder, self.process, self.pid = folder, process, process.pid

    @property
    def path(self):
        return self.folder / f"{self.pid}.sock"

    def floor(self, **more):
        return ask(until_listening(self.folder, self.pid), {**FLOOR, **more})

    def do(self, line):
        """Have a line run; what it printed before `ok`."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        said = []
        while (heard := self.process.stdout.readline()) not in ("ok\n", ""):
            said.append(heard.rstrip("\n"))
            assert not heard.startswith("failed"), heard
        assert heard == "ok\n", (said, self.process.stderr.read())
        return said

    def end(self):
        """Close stdin; exit code and stderr."""
        _, told = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, told


def until_listening(folder, pid):
    """The socket of that process, once it takes connections."""
    path = folder / f"{pid}.sock"

    def listening():
        with socket.socket(socket.AF_UNIX) as asker, contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            asker.connect(str(path))
            return True

    until(listening, f"the agent of {pid} listens")
    return path


def sockets(folder):
    return sorted(folder.glob("*.sock"))


@pytest.fixture
def folder():
    """Short: a socket's path has at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="lc-") as made:
        yield Path(made)


@pytest.fixture
def environment(folder):
    return {**os.environ, **reaching.environment(folder, {})}


@pytest.fixture
def start(folder, environment):
    """Start a target; all of them, and what they started, are gone afterwards."""
    started = []

    def begin(*command, **options):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(
            list(map(str, command)), **{**pipes, "env": environment, "text": True, "start_new_session": True, **options}
        )
        started.append(process)
        return Target(folder, process)

    yield begin
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in filter(None, (process.stdin, process.stdout, process.stderr)):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def obeying(start):
    """A target that runs what it is told; `-X dev` and `-W error` make it tell of everything that is not right."""

    def begin(version=None, *options, **more):
        python = interpreter(version) if version else sys.executable
        strict = options or ("-X", "dev", "-W", "error")
        return start(python, *strict, PROGRAMS / "agent_obeys.py", **more)

    return begin


# What a floor says


@each_python
@pytest.mark.share(1)
def test_a_floor_is_answered_whole_and_the_end_is_clean(obeying, version):
    target = obeying(version)
    answer = target.floor()
    assert answer["problem"] is None
    assert (answer["v"], answer["pid"], answer["tasks"], answer["garbage"]) == (1, target.pid, None, 0)
    assert answer["python"].startswith(f"{version}.")
    assert answer["blocks"] > answer["own"]["blocks"] > 100
    assert answer["objects"] > 1000
    assert answer["modules"] > 10
    assert answer["malloc"] is None or answer["malloc"] > 100_000
    assert answer["types"] == {}
    assert answer["census"]["complete"] is True
    assert set(answer["pauses"]) == {"collect", "count", "types", "followed", "census"}
    assert target.end() == (0, "")
    assert sockets(target.folder) == []


@each_python
@pytest.mark.parametrize("asked", [False, True], ids=["never asked", "asked"])
def test_the_exit_code_is_the_programs(obeying, version, asked):
    target = obeying(version)
    if asked:
        target.floor()
    else:
        until_listening(target.folder, target.pid)
    target.process.stdin.write("import sys; sys.exit(7)\n")
    assert target.end() == (7, "")
    assert sockets(target.folder) == []


@each_python
def test_an_unhandled_exception_is_told_as_without_the_agent(start, version, environment):
    bare = {name: value for name, value in environment.items() if name != "LEAKCHECK_AGENT"}
    told = [start(interpreter(version), "-c", "1 / 0", env=given).end() for given in (environment, bare)]
    assert told[0] == told[1]
    assert "ZeroDivisionError" in told[0][1]


def test_only_the_owner_may_use_the_socket_and_its_number_is_high(obeying):
    target = obeying()
    own = target.floor()["own"]
    assert stat.S_IMODE(target.path.stat().st_mode) == 0o600
    descriptors = {
        int(entry.name): str(entry.readlink())
        for entry in Path(f"/proc/{target.pid}/fd").iterdir()
        if entry.is_symlink()
    }
    numbers = [number for number, link in descriptors.items() if link == f"socket:[{own['inode']}]"]
    assert len(numbers) == 1
    assert numbers[0] >= 200
    assert len(descriptors) == 4
    assert own["thread"] in {int(entry.name) for entry in Path(f"/proc/{target.pid}/task").iterdir()} - {target.pid}


def test_an_odd_umask_and_a_stale_file_change_nothing(folder, environment):
    code = (
        "import os, sys; os.umask(0o777); open(os.environ['LEAKCHECK_AGENT'] + '/%d.sock' % os.getpid(), 'w').close()\n"
        "os.execv(sys.executable, [sys.executable, sys.argv[1]])"
    )
    bare = {**environment, "PYTHONPATH": ""}
    wrapped = "import os, sys\nos.environ['PYTHONPATH'] = sys.argv[2]\n" + code
    with subprocess.Popen(
        [sys.executable, "-c", wrapped, str(PROGRAMS / "agent_obeys.py"), environment["PYTHONPATH"]],
        env=bare,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    ) as process:
        path = folder / f"{process.pid}.sock"
        until(lambda: path.exists() and path.is_socket(), "the stale file is replaced")
        assert stat.S_IMODE(until_listening(folder, process.pid).stat().st_mode) == 0o600
        assert ask(path, FLOOR)["pid"] == process.pid


@each_python
def test_pending_tasks_are_counted_by_what_they_run_in_every_loop_and_thread(obeying, version):
    target = obeying(version, "-W", "error")
    assert target.floor()["tasks"] is None
    target.do("import asyncio, threading; gate = threading.Event()")
    target.do("exec('async def waits(): await asyncio.sleep(900)\\nasync def ends(): pass')")
    target.do(
        "exec('async def main(n, up):\\n kept = [asyncio.ensure_future(waits()) for _ in range(n)]\\n"
        " await asyncio.ensure_future(ends())\\n up.set()\\n await asyncio.sleep(900)')"
    )
    target.do(
        "exec('for n in (3, 4):\\n up = threading.Event()\\n"
        ' threading.Thread(target=asyncio.run, args=(main(n, up),), daemon=True, name="loop").start()\\n up.wait()\')'
    )
    answer = target.floor()
    assert answer["problem"] is None
    assert answer["tasks"] == {"waits": 7, "main": 2}
    assert answer["threads"] == {"MainThread": 1, "loop": 2}


@pytest.mark.parametrize("version", pythons(("3.12", "3.13", "3.14")))
def test_eager_tasks_are_counted_too(obeying, version):
    target = obeying(version, "-W", "error")
    target.do("import asyncio, threading; up = threading.Event()")
    target.do("exec('async def eager(): await asyncio.sleep(900)')")
    target.do(
        "exec('async def main():\\n asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)\\n"
        " kept = [asyncio.create_task(eager()) for _ in range(5)]\\n up.set()\\n await asyncio.sleep(900)')"
    )
    target.do("threading.Thread(target=asyncio.run, args=(main(),), daemon=True).start(); up.wait()")
    assert target.floor()["tasks"] == {"eager": 5, "main": 1}


@each_python
def test_threads_are_counted_while_the_program_holds_threadings_lock(obeying, version):
    target = obeying(version)
    target.do("import threading, _thread; stop = threading.Event()")
    target.do("kept = [threading.Thread(target=stop.wait, name='worker', daemon=True) for _ in range(3)]")
    target.do("[thread.start() for thread in kept]; lock = _thread.allocate_lock(); lock.acquire()")
    target.do("_thread.start_new_thread(lambda: lock.acquire(), ())")
    target.do("threading._active_limbo_lock.acquire()")
    threads = until(lambda: (seen := target.floor()["threads"]).get("(not of threading)") and seen, "the bare thread")
    assert threads == {"MainThread": 1, "worker": 3, "(not of threading)": 1}
    target.do("threading._active_limbo_lock.release(); lock.release(); stop.set(); [one.join() for one in kept]")
    assert target.end() == (0, "")


@each_python
def test_nothing_that_a_floor_reads_makes_threading_or_asyncio_be_imported(obeying, version):
    target = obeying(version)
    before = target.do("import sys; print(sorted({'threading', 'asyncio'} & set(sys.modules)))")
    target.floor()
    target.floor()
    assert target.do("print(sorted({'threading', 'asyncio'} & set(sys.modules)))") == before


@each_python
def test_types_and_blocks_grow_by_what_the_program_keeps(obeying, version):
    target = obeying(version)
    target.do("import gc; gc.disable(); Kept = type('Kept', (), {'__slots__': ('me',)}); kept = []")
    floors = [target.floor(census=0) for _ in range(3)]
    first = {name: min(floor[name] for floor in floors) for name in ("blocks", "objects")}  # one may be on its way out
    target.do("kept += [Kept() for _ in range(5000)]")
    second = target.floor(census=0)
    assert second["types"]["__main__.Kept"] == 5000
    assert 5000 <= second["blocks"] - first["blocks"] < 5300
    assert 5000 <= second["objects"] - first["objects"] < 5100
    target.do("kept.clear(); [setattr(one, 'me', one) for one in map(lambda _: Kept(), range(5000))]; one = None")
    third = target.floor(census=0)
    assert third["problem"] is None
    assert "__main__.Kept" not in third["types"]
    assert abs(third["blocks"] - first["blocks"]) < 300
    assert target.do("print(gc.isenabled())") == ["False"]


FREED = """
import ctypes; libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p
def work(): [libc.free(ctypes.c_void_p(one)) for one in [libc.malloc(n) for n in range(24, 1024, 16) for _ in range(7)]]
"""


@pytest.mark.parametrize(
    ("existing", "least", "most"),
    [("", 0, 4096), ("glibc.malloc.mmap_max=1000", 0, 4096), ("glibc.malloc.tcache_count=7", 100_000, 300_000)],
)
def test_what_was_freed_is_not_in_use_but_where_the_program_wants_its_threads_to_keep_it(
    start, folder, existing, least, most
):
    variables = reaching.environment(folder, {"GLIBC_TUNABLES": existing} if existing else {})
    target = start(
        sys.executable,
        PROGRAMS / "agent_obeys.py",
        env={**os.environ, "GLIBC_TUNABLES": existing, **variables},
    )
    for line in FREED.strip().splitlines():
        target.do(line)
    first = [target.floor(census=0) for _ in range(3)][-1]
    target.do("work()")
    assert least <= target.floor(census=0)["malloc"] - first["malloc"] <= most


@pytest.mark.parametrize(("parent", "least", "most"), [(1, 0, 0), (None, 200_000, 250_000)])
def test_of_a_process_that_ran_already_malloc_may_keep_some_for_each_thread(parent, least, most):
    probe = inside.Probe(Setting(parent=parent))
    with pytest.raises(CannotReadError):
        list(probe.read_process(SimpleNamespace(inside="nothing answers there")))
    (malloc,) = (one for one in probe.resources() if one.name == "heap.malloc")
    assert least <= malloc.spare <= most


@each_python
def test_two_hundred_floors_of_an_idle_program_leave_nothing_behind(obeying, version):
    target = obeying(version, "-W", "error")
    path = until_listening(target.folder, target.pid)
    floors = [ask(path, FLOOR) for _ in range(200)]
    assert {floor["problem"] for floor in floors} == {None}
    assert abs(floors[199]["blocks"] - floors[49]["blocks"]) < 50
    if floors[0]["malloc"] is not None:
        assert floors[199]["malloc"] - floors[49]["malloc"] < 16384
    assert floors[199]["objects"] - floors[49]["objects"] < 10
    assert len(list(Path(f"/proc/{target.pid}/fd").iterdir())) == 4
    assert len(list(Path(f"/proc/{target.pid}/task").iterdir())) == 2


# What may be asked


BROKEN = (
    b"\n",
    b"",
    b"{}\n",
    b"[]\n",
    b"null\n",
    b'"floor"\n',
    b"{\n",
    b"\xff\xfe\n",
    b"[" * 4000 + b"\n",
    b'{"ask": "shell"}\n',
    b'{"ask": null}\n',
    b'{"ask": ["floor"]}\n',
    b'{"ask": "floor", "census": "much"}\n',
    b'{"ask": "floor", "census": -1}\n',
    b'{"ask": "floor", "census": NaN}\n',
    b'{"ask": "floor", "census": Infinity}\n',
    b'{"ask": "floor", "census": true}\n',
    b'{"ask": "sizes"}\n',
    b'{"ask": "sizes", "names": "a", "lend": "", "seconds": 1}\n',
    b'{"ask": "sizes", "names": [1], "lend": "", "seconds": 1}\n',
    b'{"ask": "sizes", "names": [], "lend": 3, "seconds": 1}\n',
    b'{"ask": "floor", "more": "' + b"x" * 4096 + b'"}\n',
)


@pytest.mark.parametrize("version", pythons(("3.8", "3.13")))
def test_a_broken_question_is_answered_with_a_problem_and_the_next_one_as_ever(obeying, version):
    target = obeying(version)
    path = until_listening(target.folder, target.pid)
    for question in BROKEN:
        with socket.socket(socket.AF_UNIX) as asker:
            asker.settimeout(PATIENCE)
            asker.connect(str(path))
            asker.sendall(question)
            asker.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError), asker.makefile("rb") as answer:
                told = json.loads(answer.read())
                assert told["v"] == 1
                assert told["problem"], question
    assert target.floor()["problem"] is None
    assert target.end() == (0, "")


def test_peers_that_say_nothing_or_leave_are_let_go(obeying):
    target = obeying()
    path = until_listening(target.folder, target.pid)
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as leaving:
        silent.connect(str(path))
        leaving.connect(str(path))
        leaving.sendall(b'{"ask": "floor"')
        leaving.close()
        assert target.floor()["problem"] is None
        silent.settimeout(PATIENCE)
        assert silent.recv(1) == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_only_the_same_user_and_root_are_answered(obeying, folder, environment):
    nobody = 65534
    target = obeying()
    until_listening(folder, target.pid)
    folder.chmod(0o755)
    target.path.chmod(0o666)
    asks = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        'try: s.sendall(b\'{"ask": "floor"}\\n\'); print(len(s.recv(100000)))\n'
        "except (BrokenPipeError, ConnectionResetError): print(0)"
    )
    command = [sys.executable, "-I", "-c", asks, str(target.path)]
    stranger = ["setpriv", "--reuid", str(nobody), "--clear-groups", *command]
    heard = [
        subprocess.run(one, capture_output=True, text=True, check=True, timeout=PATIENCE) for one in (command, stranger)
    ]
    assert int(heard[0].stdout) > 100
    assert int(heard[1].stdout) == 0
    assert target.floor()["problem"] is None


# The program's own descriptors, signals and hooks


def test_a_program_that_closes_all_descriptors_is_not_listened_to_in_the_agents_place(obeying):
    target = obeying()
    until_listening(target.folder, target.pid)
    code = "import os, socket; os.closerange(3, 4096); mine = socket.socket(socket.AF_UNIX)"
    target.do(code)
    target.do("mine.bind(os.environ['LEAKCHECK_AGENT'] + '/mine'); mine.listen(5)")
    target.do("taken = [os.dup2(mine.fileno(), number) for number in range(200, 204)]")
    with contextlib.suppress(ConnectionRefusedError):  # the wait under way holds the old socket for one conversation
        ask(target.path, FLOOR)
    tasks = Path(f"/proc/{target.pid}/task")
    until(lambda: len(list(tasks.iterdir())) == 1, "the agent's thread ends")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(target.folder / "mine"))
        assert target.do("got, _ = mine.accept(); got.sendall(b'mine'); got.close(); print(os.fstat(200).st_ino > 0)")
        client.settimeout(PATIENCE)
        assert client.recv(10) == b"mine"
    assert target.do("[os.close(number) for number in taken]; mine.close()") == []
    assert target.end() == (0, "")


def test_a_program_out_of_descriptors_is_answered_once_it_has_some_again(obeying):
    target = obeying()
    until_listening(target.folder, target.pid)
    target.do("import os, resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 4096)); kept = []")
    target.do("exec('while True:\\n try: kept.append(os.dup(0))\\n except OSError: break')")
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(PATIENCE)
        asker.connect(str(target.path))
        asker.sendall(json.dumps(FLOOR).encode() + b"\n")
        target.do("[os.close(number) for number in kept]")
        with asker.makefile("rb") as answer:
            assert json.loads(answer.read())["pid"] == target.pid


def test_a_low_limit_of_descriptors_leaves_the_program_its_own(start, environment):
    command = f'ulimit -n 32; exec "{sys.executable}" "{PROGRAMS / "agent_obeys.py"}"'
    target = start("/bin/sh", "-c", command)
    inode = target.floor()["own"]["inode"]
    links = {int(entry.name): str(entry.readlink()) for entry in Path(f"/proc/{target.pid}/fd").iterdir()}
    assert [number for number, link in links.items() if link == f"socket:[{inode}]"] == [31]


@each_python
def test_a_signal_that_the_program_waits_for_does_not_end_up_in_the_agents_thread(obeying, version):
    target = obeying(version)
    until_listening(target.folder, target.pid)
    target.do("import os, signal; _ = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])")
    target.do("os.kill(os.getpid(), signal.SIGUSR1); print(int(signal.sigwait([signal.SIGUSR1])))")
    assert target.end() == (0, "")


@each_python
def test_audit_hooks_that_forbid_everything_make_the_agent_silent_and_nothing_else(obeying, version):
    target = obeying(version)
    until_listening(target.folder, target.pid)
    target.do("import sys; seen = []")
    target.do(
        "exec('def hook(event, _):\\n if event.startswith(\"socket\"): seen.append(event); raise ValueError(event)')"
    )
    target.do("sys.addaudithook(hook)")
    assert ask(target.path, FLOOR, whole=False) is None
    assert target.do("print(len(seen) > 0)") == ["True"]
    assert target.end()[0] == 0


@each_python
def test_a_trace_function_of_the_program_sees_nothing_of_the_agent(obeying, version):
    target = obeying(version)
    target.do("import sys, threading; seen = []; trace = lambda frame, *_: seen.append(frame.f_code.co_filename)")
    target.do("threading.settrace(trace); sys.settrace(trace)")
    target.floor()
    target.do("sys.settrace(None)")
    seen = target.do("print('\\n'.join(['some', *seen]))")
    assert seen[0] == "some"
    assert [name for name in seen if str(AGENT) in name] == []


# Where there is no agent


@pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
def test_a_program_that_reads_no_environment_runs_undisturbed_without_an_agent(obeying, folder, flag):
    target = obeying(None, flag)
    assert target.do("print('runs')") == ["runs"]
    assert target.end() == (0, "")
    assert sockets(folder) == []


def test_a_child_without_the_environment_runs_undisturbed_without_an_agent(obeying, folder):
    target = obeying()
    until_listening(folder, target.pid)
    target.do("import subprocess, sys, os")
    said = target.do("print(subprocess.run([sys.executable, '-c', 'print(5)'], env={}, stdout=-1).stdout)")
    assert said == ["b'5\\n'"]
    assert sockets(folder) == [target.path]


@pytest.mark.parametrize("version", pythons(OLD))
def test_a_python_too_old_runs_undisturbed_without_an_agent(start, folder, version):
    target = start(interpreter(version), "-c", "print('runs')")
    assert target.process.stdout.read() == "runs\n"
    assert target.end() == (0, "")
    assert sockets(folder) == []


@pytest.mark.parametrize("given", ["", "/nowhere/at/all", "x" * 200])
def test_a_folder_that_cannot_be_used_disturbs_nobody(start, environment, tmp_path, given):
    (here := tmp_path / "here").mkdir()
    target = start(sys.executable, "-c", "print('runs')", env={**environment, "LEAKCHECK_AGENT": given}, cwd=here)
    assert target.end() == (0, "")
    assert list(here.iterdir()) == []
    assert not Path("/nowhere").exists()


@pytest.mark.share(1)
def test_every_file_of_the_agent_is_python_3_8():
    files = sorted(AGENT.rglob("*.py"))
    assert len(files) >= 4
    for file in files:
        ast.parse(file.read_text(), filename=str(file), feature_version=(3, 8))


def test_nothing_but_sitecustomize_lies_in_the_folder_on_the_path():
    assert [entry.name for entry in (AGENT / "inject").iterdir() if entry.name != "__pycache__"] == ["sitecustomize.py"]


# The sitecustomize that there would have been


CHAINED = {
    "works": "import sys; sys.chained = __name__; sys.path.insert(0, '/chained')",
    "raises": "raise ValueError('my own fault')",
    "imports what is missing": "import nothing_of_that_name",
    "is no python": "def",
    "exits": "raise SystemExit(9)",
}


@pytest.mark.parametrize("version", pythons((*OLD, *MODERN)))
@pytest.mark.parametrize("chained", [None, *CHAINED])
def test_the_next_sitecustomize_behaves_as_if_it_were_the_first(start, environment, tmp_path, version, chained):
    if chained:
        tmp_path.joinpath("sitecustomize.py").write_text(CHAINED[chained])
    inject = environment["PYTHONPATH"]
    shows = (
        "import sys; print(getattr(sys, 'chained', None), '/chained' in sys.path, 'sitecustomize' in sys.modules, "
        "[p for p in sys.path if p != sys.argv[1]])"
    )
    outcomes = []
    for paths in ([inject, str(tmp_path)], [str(tmp_path)]):
        target = start(
            interpreter(version), "-c", shows, inject, env={**environment, "PYTHONPATH": os.pathsep.join(paths)}
        )
        said, (code, told) = target.process.stdout.read(), target.end()
        if chained == "exits":  # in a traceback, where the agent's file stands too
            told = told.splitlines()[-1:]
        outcomes.append((said, code, told))
    assert outcomes[0] == outcomes[1]


# Forks and children


@each_python
def test_parent_and_child_of_a_fork_both_answer_and_nobody_warns_of_threads(obeying, version):
    target = obeying(version)
    until_listening(target.folder, target.pid)
    target.do("import os, signal")
    target.do("exec('child = os.fork()\\nif not child: signal.pause()')")
    child = int(target.do("print(child)")[0])
    for pid in (target.pid, child):
        answer = ask(until_listening(target.folder, pid), FLOOR)
        assert (answer["pid"], answer["problem"]) == (pid, None)
        assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 2
        assert len(list(Path(f"/proc/{pid}/fd").iterdir())) == 4
    target.do("os.kill(child, 9); _ = os.waitpid(child, 0)")
    assert target.end() == (0, "")


@each_python
def test_a_hundred_forks_leave_the_parent_as_it_was(obeying, version):
    target = obeying(version)
    path = until_listening(target.folder, target.pid)
    target.do("import os, gc")
    many = "exec('for _ in range(100):\\n pid = os.fork()\\n if not pid: os._exit(0)\\n os.waitpid(pid, 0)')"
    target.do(many)
    first = [target.floor() for _ in range(3)][-1]
    target.do(many)
    second = target.floor()
    assert abs(second["blocks"] - first["blocks"]) < 50
    assert second["own"]["inode"] != first["own"]["inode"]
    assert path.is_socket()
    assert len(list(Path(f"/proc/{target.pid}/fd").iterdir())) == 4
    assert target.end() == (0, "")


@each_python
def test_forks_from_many_threads_at_once_end_and_the_agent_answers_afterwards(obeying, version):
    target = obeying(version, "-W", "ignore")
    path = until_listening(target.folder, target.pid)
    target.do("import os, threading")
    target.do(
        "exec('def forks():\\n for _ in range(20):\\n  pid = os.fork()\\n  if not pid: os._exit(0)\\n"
        "  os.waitpid(pid, 0)')"
    )
    target.do("kept = [threading.Thread(target=forks) for _ in range(4)]; [one.start() for one in kept]")
    target.do("[one.join() for one in kept]")
    assert ask(path, FLOOR)["problem"] is None
    assert target.end() == (0, "")


@each_python
def test_a_fork_during_a_census_waits_no_longer_than_it_says(obeying, version):
    target = obeying(version, "-W", "ignore")
    until_listening(target.folder, target.pid)
    target.do("import os, time; kept = [[i] * 9 for i in range(300000)]")
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(PATIENCE)
        asker.connect(str(target.path))
        asker.sendall(json.dumps({"ask": "floor", "census": 5.0}).encode() + b"\n")
        for _ in range(3):
            code = "pid = os.fork()\nif not pid: os._exit(5)\n_, status = os.waitpid(pid, 0)\nprint(status >> 8)"
            assert target.do(f"exec({code!r})") == ["5"]
        # A fork may come before the question is taken up: then it has to be asked again.
        with contextlib.suppress(ConnectionResetError), asker.makefile("rb") as answer:
            assert json.loads(answer.read())["pid"] == target.pid
    assert ask(until_listening(target.folder, target.pid), FLOOR)["problem"] is None


@each_python
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_answer(obeying, version, method):
    target = obeying(version, "-W", "error")
    target.do("import multiprocessing, os, time, sys; sys.modules['__main__'].__spec__ = None; del __file__")
    target.do(f"made = multiprocessing.get_context({method!r}).Process(target=time.sleep, args=(900,)); made.start()")
    child = int(target.do("print(made.pid)")[0])
    answer = ask(until_listening(target.folder, child), FLOOR)
    assert (answer["pid"], answer["problem"]) == (child, None)
    assert target.floor()["problem"] is None
    target.do("made.kill(); made.join(); made.close()")
    assert target.end() == (0, "")


@each_python
@pytest.mark.parametrize("preexec", ["None", "os.getpid"])
def test_children_of_subprocess_answer_and_others_leave_no_socket(obeying, version, preexec):
    target = obeying(version)
    until_listening(target.folder, target.pid)
    target.do("import os, subprocess, sys")
    target.do(f"other = subprocess.Popen(['sleep', '900'], preexec_fn={preexec}, stdin=subprocess.DEVNULL)")
    target.do(
        "made = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], "
        f"stdin=subprocess.PIPE, preexec_fn={preexec})"
    )
    child, other = map(int, target.do("print(made.pid); print(other.pid)"))
    assert ask(until_listening(target.folder, child), FLOOR)["pid"] == child
    assert not target.folder.joinpath(f"{other}.sock").exists()
    target.do("other.kill(); _ = other.wait(); made.stdin.close(); _ = made.wait()")
    assert sockets(target.folder) == [target.path]
    assert target.end() == (0, "")


# Servers as they are used


def descendants(pid):
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def all_answer(target, count):
    """Every Python process below the target, once there are so many, answers a floor."""
    until(lambda: len(descendants(target.pid)) >= count, f"{count} processes")
    answers = {pid: ask(until_listening(target.folder, pid), FLOOR) for pid in descendants(target.pid)}
    assert all(answer["problem"] is None for answer in answers.values())
    return answers


def ended(target):
    target.process.send_signal(signal.SIGTERM)
    until(lambda: target.process.poll() is not None, "the server ends")


def test_gunicorn_with_gevent_workers_answers_in_every_process(start):
    pytest.importorskip("gunicorn")
    pytest.importorskip("gevent")
    command = ("-m", "gunicorn", "-k", "gevent", "-w", "2", "-b", "127.0.0.1:0", "--chdir", PROGRAMS, "agent_wsgi:wsgi")
    target = start(sys.executable, *command, stderr=subprocess.DEVNULL)
    all_answer(target, 3)
    ended(target)


def test_uvicorn_with_two_workers_answers_in_every_process(start):
    pytest.importorskip("uvicorn")
    command = ("-m", "uvicorn", "--workers", "2", "--port", "0", "--app-dir", PROGRAMS, "agent_wsgi:asgi")
    target = start(sys.executable, *command, stderr=subprocess.DEVNULL)
    until(lambda: len(descendants(target.pid)) >= 4, "the parent, its tracker, two workers")
    answers = all_answer(target, 4)
    until(
        lambda: (
            sum("Server.serve" in str(ask(target.folder / f"{pid}.sock", FLOOR)["tasks"]) for pid in answers) == 2
            or None
        ),
        "two workers serve",
    )
    ended(target)


def test_a_program_that_gevent_has_patched_answers_while_its_hub_waits_and_while_it_works(obeying):
    pytest.importorskip("gevent")
    target = obeying(None, "-W", "ignore")
    target.do("from gevent import monkey; _ = monkey.patch_all(); import gevent, threading, subprocess, os, sys")
    target.do(
        "kept = [threading.Thread(target=gevent.sleep, args=(900,), name='green', daemon=True) for _ in range(3)]"
    )
    target.do("[one.start() for one in kept]; gevent.sleep(0)")
    assert target.floor()["threads"]["green"] == 3
    target.process.stdin.write("gevent.sleep(900)\n")
    target.process.stdin.flush()
    assert target.floor()["problem"] is None


def test_the_parent_and_the_child_of_a_fork_by_gevent_answer(obeying):
    pytest.importorskip("gevent")
    target = obeying(None, "-W", "ignore")
    target.do("from gevent import monkey; _ = monkey.patch_all(); import gevent, os, time")
    target.do("exec('child = os.fork()\\nif not child: time.sleep(900)')")
    child = int(target.do("print(child)")[0])
    for pid in (target.pid, child):
        assert ask(until_listening(target.folder, pid), FLOOR)["problem"] is None
