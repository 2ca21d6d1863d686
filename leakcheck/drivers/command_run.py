"""One run of the `--drive` command: started below a reaper, drained, and gone with all that it started.

The reaper (`targets/reaper.py`) makes a run of `true` cost about 30 ms of CPU. It is why no run outlives the auditor,
also after SIGKILL: it watches the auditor's pid and the lifeline, ends the run's process group, and as a subreaper
waits for what detached itself.

Does not see: what a daemon starts on the command's behalf (systemd, dockerd).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import leakcheck.targets

REAPER = Path(leakcheck.targets.__file__).with_name("reaper.py")
TAIL_BYTES = 16384
TAIL_LINES = 20


class Tail:
    """The last lines of an output of any length, in bounded memory."""

    def __init__(self) -> None:
        self._bytes = b""
        self._cut = False

    def add(self, data: bytes) -> None:
        """Append what was read."""
        kept = self._bytes + data
        self._cut = self._cut or len(kept) > TAIL_BYTES
        self._bytes = kept[-TAIL_BYTES:]

    def text(self) -> str:
        """Return at most 20 lines, raw. A line that lost its beginning is dropped: half a credential is not known."""
        whole = self._bytes.partition(b"\n")[2] if self._cut else self._bytes
        return "\n".join(whole.decode(errors="replace").splitlines()[-TAIL_LINES:])


class Run:
    """One process tree of the command. `end` is always called."""

    def __init__(
        self, argv: Sequence[str], *, environment: Mapping[str, str], cwd: str | None, grace_seconds: float
    ) -> None:
        """Start it. Raises OSError when no process can be started at all."""
        self.tail = Tail()
        self.cpu_seconds = 0.0
        """Of the whole tree, reaper included; known after `end`."""
        self._grace = grace_seconds
        self._said = b""
        self._lifeline, theirs = socket.socketpair()
        options = ["--owner", os.getpid(), "--lifeline", theirs.fileno(), "--grace", round(grace_seconds * 1000)]
        reaper = [sys.executable, "-I", "-S", str(REAPER), *map(str, options), "--linger", "0"]
        try:
            self._reaper = subprocess.Popen(
                [*reaper, "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=cwd,
                pass_fds=(theirs.fileno(),),
            )
        except BaseException:
            self._lifeline.close()
            raise
        finally:
            theirs.close()
        self._output: IO[bytes] | None = self._reaper.stdout

    @property
    def pids(self) -> tuple[int, ...]:
        """The reaper, and the command once it runs."""
        if self._reaper.returncode is not None:
            return ()
        started = self._said.split()
        command = (int(started[1]),) if len(started) >= 2 and started[0] == b"started" else ()
        return (self._reaper.pid, *command)

    @property
    def executed(self) -> bool:
        """Whether the command could be executed; known after `end`."""
        return self._said.startswith(b"started ")

    @property
    def exit_code(self) -> int | None:
        """How the command ended (negative: by that signal); None: it was still running at `end`."""
        last = self._said.split(b"\n")[1:2]
        return int(last[0].split()[1]) if last and last[0].startswith(b"ended ") else None

    def wait(self, seconds: float) -> bool:
        """Drain its output until all of it is gone; False when the time is up before."""
        deadline = time.monotonic() + seconds
        if self._reaper.returncode is not None:
            return True
        ended = os.pidfd_open(self._reaper.pid)
        try:
            while True:
                watched = [one for one in (ended, self._output, self._lifeline) if one is not None]
                ready = select.select(watched, [], [], max(0.0, deadline - time.monotonic()))[0]
                if self._output in ready:
                    self._drain()
                if self._lifeline in ready:
                    self._listen()
                if ended in ready and self._output not in ready:
                    self._collect()
                    return True
                if time.monotonic() >= deadline and ended not in ready:
                    return False
        finally:
            os.close(ended)

    def end(self) -> None:
        """End what still runs: SIGTERM, the grace time, SIGKILL; return when nothing is left. Can be called again."""
        if self._lifeline.fileno() >= 0:
            with contextlib.suppress(OSError):  # its other end is gone already
                self._lifeline.shutdown(socket.SHUT_WR)
        if not self.wait(self._grace + 10.0):
            self._reaper.send_signal(signal.SIGKILL)  # PDEATHSIG takes the command along
            self._collect()
        self._lifeline.close()
        if self._output is not None:
            self._output.close()
            self._output = None

    def _drain(self) -> None:
        if self._output is None:
            return
        data = os.read(self._output.fileno(), 65536)
        if data:
            self.tail.add(data)
        else:
            self._output.close()
            self._output = None

    def _listen(self) -> None:
        with contextlib.suppress(ConnectionResetError):
            self._said += self._lifeline.recv(4096, socket.MSG_DONTWAIT)

    def _collect(self) -> None:
        _, status, usage = os.wait4(self._reaper.pid, 0)
        self._reaper.returncode = os.waitstatus_to_exitcode(status)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while data := self._lifeline.recv(4096, socket.MSG_DONTWAIT):
                self._said += data
