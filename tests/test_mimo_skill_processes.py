"""Six ways in which the server ends, eight skills that do not want to end: nothing is left of any.

One server runs all eight at once, so that a row of the table takes as long as one cell.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

OWNER = Path(__file__).with_name("programs") / "skill_owner.py"
PATIENCE = 30.0
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
"""Only with a memory cgroup (v1) of our own can the kernel be made to kill the server and nobody else."""
EVENTS = (
    "normal_exit",
    "raise",
    "sigterm",
    "sigkill",
    "real_oom_kill" if OUT_OF_MEMORY else "sigkill_by_another_process_in_place_of_an_oom_kill",
    "stop_while_the_server_lives",
)


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline, pause = time.monotonic() + PATIENCE, 0.002
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def named(folder: Path) -> list[psutil.Process]:
    """Processes whose command line holds the folder: the server, its reapers, the skills and what these started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(str(folder) in argument for argument in process.cmdline()):
                found.append(process)
    return found


def below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def gone(process: psutil.Process, server: subprocess.Popen[str]) -> bool:
    """Not there any more, not even as a zombie; but what outlived the server is for init to wait for."""
    with contextlib.suppress(psutil.NoSuchProcess):
        if process.is_running():
            return process.status() == psutil.STATUS_ZOMBIE and process.ppid() == 1 and server.poll() is not None
    return True


@contextlib.contextmanager
def server_of(*children: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A server whose skills are all ready; whatever the test shows, nothing is left after it."""
    with subprocess.Popen(
        [sys.executable, str(OWNER), str(folder), *children],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as server:
        try:
            wait_until(lambda: all((folder / child).exists() for child in children), "the children are ready")
            yield server
        finally:
            server.kill()
            for left in named(folder):
                with contextlib.suppress(psutil.NoSuchProcess):
                    left.kill()


@contextlib.contextmanager
def memory_limit(processes: list[psutil.Process], limit: int) -> Iterator[Path]:
    folder = CGROUPS / f"mimo-test-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / "memory.limit_in_bytes").write_text(str(limit))
        for process in processes:
            with contextlib.suppress(ProcessLookupError):  # one that is replaced by its child meanwhile
                (folder / "cgroup.procs").write_text(str(process.pid))
        yield folder
    finally:
        wait_until(lambda: not (folder / "cgroup.procs").read_text(), "the cgroup is empty")
        folder.rmdir()


def order(server: subprocess.Popen[str], word: str) -> None:
    assert server.stdin is not None
    server.stdin.write(f"{word}\n")
    server.stdin.flush()


def bring_about(event: str, server: subprocess.Popen[str], cells: list[psutil.Process]) -> None:
    if event == "stop_while_the_server_lives":
        assert server.stdout is not None
        order(server, "stop")
        wait_until(lambda: select.select([server.stdout], [], [], 0)[0], "the skills have ended")
        assert server.stdout.readline() == "still here 1\n"
    elif event == "real_oom_kill":
        with memory_limit([psutil.Process(server.pid), *cells], 300 << 20) as folder:
            order(server, "fill")
            assert server.wait(PATIENCE) == -signal.SIGKILL
            wait_until(lambda: all(gone(process, server) for process in cells), "nothing is left")
            assert "oom_kill 0" not in (folder / "memory.oom_control").read_text()
    elif event.startswith("sigkill_by_another"):
        subprocess.run(["/bin/sh", "-c", f"kill -KILL {server.pid}"], check=True)
        assert server.wait(PATIENCE) == -signal.SIGKILL
    elif event in {"sigterm", "sigkill"}:
        server.send_signal(getattr(signal, event.upper()))
        assert server.wait(PATIENCE) < 0
    else:
        order(server, event)
        assert server.wait(PATIENCE) == (1 if event == "raise" else 0)


@pytest.mark.parametrize("event", EVENTS)
def test_nothing_is_left_of_eight_skills_however_the_server_ends(event: str, tmp_path: Path) -> None:
    with server_of(*CHILDREN, folder=tmp_path) as server:
        # a reaper and a child each, three of which have left another process; and the bundled skill with its reaper
        everything = 2 * len(CHILDREN) + 3 + 2
        wait_until(lambda: len(below(server.pid)) == everything, "the eight cells are there, and nothing else")
        cells = below(server.pid)
        survivors = {process.pid for process in cells if str(tmp_path) not in " ".join(process.cmdline())}
        assert len(survivors) == 2
        bring_about(event, server, cells)
        if event == "stop_while_the_server_lives":
            wait_until(
                lambda: {process.pid for process in below(server.pid)} == survivors, "only the other skill is left"
            )
            cells = [process for process in cells if process.pid not in survivors]
        wait_until(lambda: all(gone(process, server) for process in cells), "nothing is left")
        wait_until(
            lambda: [process for process in named(tmp_path) if process.pid != server.pid] == [], "of none a trace"
        )
