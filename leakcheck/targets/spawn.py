"""A target that we start, below a reaper, so that it never outlives us."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from leakcheck.credentials import Secrets
from leakcheck.errors import TargetError, UsageError
from leakcheck.model.reading import Process
from leakcheck.targets.log import TargetLog
from leakcheck.targets.tree import Tree, lives, shown_command, start_time

_REAPER = str(Path(__file__).with_name("reaper.py"))
_LINGER_SECONDS = 300.0
"""How long what outlives the target is left alone for us to look at. Our own end, however it comes, ends it too."""
_START_SECONDS = 30.0
"""For two small processes to start: 40 ms on an idle machine, seconds on an overloaded one."""
_REAP_SECONDS = 5.0
"""For the reaper to kill everything once the grace is over: 0.1 s measured with a tree that forks meanwhile."""
_LONGEST_PAUSE = 0.1


class Spawned:
    """A command as the target. It starts when the context is entered, and nothing of it is left when that is left.

    With `pipes`, stdin and stdout are pipes for the conversation and stderr goes to the log; without, stdin is
    /dev/null and all output goes to the log. The environment is ours plus `environment`.

    Does not see: processes started on the target's behalf by somebody else (systemd, dockerd).
    """

    def __init__(  # noqa: PLR0913 - each says one thing about how to start it
        self,
        argv: Sequence[str],
        *,
        pipes: bool,
        environment: Mapping[str, str],
        cwd: str | None,
        log_path: str | os.PathLike[str],
        secrets: Secrets,
        grace_seconds: float,
    ) -> None:
        """Raise UsageError when there is no such command or folder. Starts nothing yet."""
        self._argv = tuple(argv)
        self._pipes = pipes
        self._environment = {**os.environ, **environment}
        self._cwd = cwd
        self._log_path = os.fspath(log_path)
        self._secrets = secrets
        self._grace_seconds = grace_seconds
        self._told = b""
        """What the reaper said so far."""
        self._asked_to_end = False
        self.needed_signal = False
        """True once `end` has sent SIGTERM: closing stdin was not enough."""
        _check_folder(cwd)
        _check_command(self._argv, cwd, self._environment.get("PATH", os.defpath), secrets)

    def __enter__(self) -> Self:
        """Start it and wait until it runs. Raises UsageError or TargetError when it cannot be executed."""
        output, theirs = os.pipe()
        try:
            self._log = TargetLog(self._log_path, output, self._secrets)
        except OSError as error:
            os.close(theirs)
            raise UsageError(
                f"The log {self._log_path} cannot be written ({error.strerror}); choose another output folder"
            ) from error
        self._lifeline, far_end = socket.socketpair()
        try:
            self._reaper = self._start_reaper(far_end.fileno(), theirs)
        except BaseException:
            self._lifeline.close()
            self._log.close()
            raise
        finally:
            os.close(theirs)
            far_end.close()
        try:
            self._tree = Tree(self._reaper.pid, self._secrets, skip_root=True)
            self._root = self._wait_until_running()
        except BaseException:
            self._release()
            raise
        return self

    def _start_reaper(self, lifeline: int, output: int) -> subprocess.Popen[bytes]:
        grace, linger = (str(round(seconds * 1000)) for seconds in (self._grace_seconds, _LINGER_SECONDS))
        options = ("--owner", str(os.getpid()), "--lifeline", str(lifeline), "--grace", grace, "--linger", linger)
        return subprocess.Popen(
            (sys.executable, "-I", "-S", _REAPER, *options, "--", *self._argv),
            stdin=subprocess.PIPE if self._pipes else subprocess.DEVNULL,
            stdout=subprocess.PIPE if self._pipes else output,
            stderr=output,
            bufsize=0,
            pass_fds=(lifeline,),
            env=self._environment,
            cwd=self._cwd,
        )

    def _wait_until_running(self) -> Process:
        """Wait for the reaper's word that the command has been executed."""
        deadline = time.monotonic() + _START_SECONDS
        while (started := self._heard(b"started")) is None and time.monotonic() < deadline:
            if not self._listen(deadline - time.monotonic()):
                break
        if started is None:
            said = " ".join(self.last_lines(3)) or "no reason given"
            raise TargetError(
                f"The command {shown_command(self._argv, self._secrets)} could not be started: {said}; "
                "check that it runs in a shell, or name its interpreter (python server.py)"
            )
        pid, ticks = map(int, started.split())
        for member in self._tree.members():
            if member.identity == (pid, ticks):
                return member
        role = os.path.basename(self._argv[0])  # it has ended already
        return Process(pid=pid, started=ticks, role=role, command=shown_command(self._argv, self._secrets))

    @property
    def stdin(self) -> IO[bytes] | None:
        """The server's stdin, unbuffered, if it was started with pipes."""
        return self._reaper.stdin

    @property
    def stdout(self) -> IO[bytes] | None:
        """The server's stdout, if it was started with pipes; otherwise it goes to the log."""
        return self._reaper.stdout

    @property
    def root(self) -> Process:
        """The server's first process, as it was when it started."""
        return self._root

    @property
    def reaper_pid(self) -> int:
        """The parent of the root and of what lost its own parent; never a member."""
        return self._reaper.pid

    @property
    def log_problem(self) -> str | None:
        """Why the output could not be kept; None when it could."""
        return self._log.problem

    def members(self) -> tuple[Process, ...]:
        """Who is in the tree now, root first, zombies included, the reaper never. Empty when all are gone."""
        return self._tree.members()

    def exit_code(self) -> int | None:
        """How the root ended (negative: by that signal); None while it lives."""
        open_still = self._listen(0)
        ended = self._heard(b"ended")
        if ended is not None:
            return int(ended)
        return None if open_still else -signal.SIGKILL  # the reaper was killed, and the root with it (PDEATHSIG)

    def last_lines(self, count: int = 10) -> tuple[str, ...]:
        """The end of the target's output, credentials removed, control characters escaped."""
        return self._log.last_lines(count)

    def end(self, grace_seconds: float) -> tuple[Process, ...]:
        """End the root as its owner would: close its stdin if it is a pipe, then SIGTERM once half the grace is up.

        Without a pipe SIGTERM comes at once. Returns who still lives when the root is gone and the grace is up (the
        root too, if it would not go); at once when all are gone. Can be called again.
        """
        self._asked_to_end = True
        begun = time.monotonic()
        if self._reaper.stdin is not None:
            self._reaper.stdin.close()
            _wait_for(lambda: self.exit_code() is not None, begun + grace_seconds / 2)
        if self.exit_code() is None:
            self.needed_signal = True
            _signal(self._root, signal.SIGTERM)
        # Gone from the tree is not yet told: the reaper says a moment later how it ended.
        _wait_for(lambda: not self._alive() and self.exit_code() is not None, begun + grace_seconds)
        return self._alive()

    def _alive(self) -> tuple[Process, ...]:
        return tuple(member for member in self.members() if lives(member))

    def _listen(self, seconds: float) -> bool:
        """Wait for the reaper to say something; False once it is gone."""
        if self._lifeline.fileno() < 0:
            return False
        ready = select.poll()
        ready.register(self._lifeline, select.POLLIN)
        if not ready.poll(max(0.0, seconds) * 1000):
            return True
        try:
            said = self._lifeline.recv(4096)
        except ConnectionResetError:
            return False
        self._told += said
        return bool(said)

    def _heard(self, word: bytes) -> bytes | None:
        """What the reaper said after `word`."""
        for line in self._told.split(b"\n")[:-1]:  # whole lines only
            if line.startswith(word):
                return line.removeprefix(word).strip()
        return None

    def __exit__(self, *exc_info: object) -> None:
        """Leave nothing: SIGTERM, the grace, SIGKILL. A target that `end` has asked already is killed at once."""
        self._release()

    def _release(self) -> None:
        for pipe in (self._reaper.stdin, self._reaper.stdout):
            if pipe is not None:
                pipe.close()
        try:
            if self._asked_to_end:
                _signal(self._root, signal.SIGKILL)
            self._lifeline.shutdown(socket.SHUT_WR)  # not only close: a forked copy of us may hold the socket too
            self._reaper.wait(self._grace_seconds + _REAP_SECONDS)
        except subprocess.TimeoutExpired:
            pass  # stopped, or waiting for what only the kernel can end: below it is done without it
        finally:  # also when Ctrl-C comes a second time
            _wait_for(self._killed, time.monotonic() + _REAP_SECONDS)
            self._reaper.kill()
            self._reaper.wait()
            while self._listen(0):  # its last words, up to EOF
                continue
            self._lifeline.close()
            self._log.close()

    def _killed(self) -> bool:
        """Kill whom the tree remembers; True when all and the reaper are gone. After a sound reaper that is at once."""
        alive = self._alive()
        for member in alive:
            _signal(member, signal.SIGKILL)
        return self._reaper.poll() is not None and not alive


def _wait_for(condition: Callable[[], bool], deadline: float) -> None:
    """Ask again and again, at most every 0.1 s, until it holds or the time is up."""
    pause = 0.002
    while not condition() and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(pause * 2, _LONGEST_PAUSE)


def _signal(process: Process, number: int) -> None:
    """Signal this process and no later one with its pid; nothing to do when it is gone or not ours to signal."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if start_time(process.pid) == process.started:  # asked after opening: from here on the handle is certain
            signal.pidfd_send_signal(handle, number)
    except (ProcessLookupError, PermissionError):
        return
    finally:
        os.close(handle)


def _check_folder(cwd: str | None) -> None:
    if cwd is not None and not os.path.isdir(cwd):
        what = "is not a folder" if os.path.exists(cwd) else "does not exist"
        raise UsageError(f"The working folder {cwd!r} {what}; create it, or name another with --cwd")


def _check_command(argv: tuple[str, ...], cwd: str | None, path: str, secrets: Secrets) -> None:
    if not argv or not argv[0]:
        raise UsageError("The command is empty; put it after --, for example: -- python server.py")
    name = secrets.hide(argv[0])
    if "/" in argv[0]:
        _check_file(os.path.join(cwd or ".", argv[0]), name)
    elif shutil.which(argv[0], path=path) is None:
        there = shutil.which(argv[0], mode=os.F_OK, path=path)
        if there is not None:
            _check_file(there, name)
        here = os.path.isfile(os.path.join(cwd or ".", argv[0]))
        hint = f"for the file in the folder say ./{name}" if here else "check the spelling, or give its full path"
        raise UsageError(f"Command {name!r} was not found on PATH; {hint}")


def _check_file(file: str, name: str) -> None:
    if not os.path.exists(file):
        raise UsageError(f"Command {name!r} does not exist; check the spelling (a relative path starts at --cwd)")
    if os.path.isdir(file):
        raise UsageError(f"Command {name!r} is a folder; name the program in it")
    if not os.access(file, os.X_OK):
        raise UsageError(
            f"Command {name!r} is not executable; make it so with chmod +x, or name its interpreter: python {name}"
        )
