"""One process of a skill and all that it starts: below a reaper, so that nothing of it outlives us or `close`."""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from mimo_server.errors import LimitError, SettingsError, SkillEndedError, SkillError
from mimo_server.skills.skill import Skill
from mimo_server.skills.strays import MARK, kill_strays
from mimo_server.skills.streams import LONGEST_LINE, Lines, Pipe, Tail
from mimo_server.supervision.ending import finished
from mimo_server.supervision.owner import Owner

MOST_UNSENT = 1 << 20
"""Bytes that wait for a skill that does not read; a further request is refused."""
_REAP_SECONDS = 5.0
"""For the reaper to kill everything once its grace is over: 0.1 s measured with a tree that forks meanwhile."""
_LAST_WORDS_SECONDS = 0.1
"""From one sign of an end to the others: the pipes' last 64 KiB may still have to be read, the exit code come."""
_NOT_EXECUTED = 127
"""As the reaper, limited.py and shells say it, with a line on stderr."""
_LIMITED = str(Path(__file__).with_name("limited.py"))


@functools.cache
def reaper() -> str:
    """The program of leakcheck that we run as the parent of every skill; leakcheck itself is never imported."""
    found = importlib.util.find_spec("leakcheck")
    if found is None or found.origin is None:
        raise SettingsError("the package leakcheck, whose reaper runs the skills, is not installed; install it again")
    return str(Path(found.origin).parent / "targets" / "reaper.py")


class SkillProcess:
    """Starts at `start`. `owner` ends when nothing is left: the reaper has been waited for, and the pipes are closed.

    `heard` gets each line of stdout. `lost` is called once when it cannot be talked with any more, with the reason.

    Does not see: processes started on its behalf by somebody else (systemd, dockerd). When the skill kills its own
    reaper, what had detached itself is found by a mark in its environment only, and only while the server lives.
    """

    def __init__(
        self, skill: Skill, *, heard: Callable[[bytes], None], lost: Callable[[str], None], grace_seconds: float
    ) -> None:
        reaper()  # or nothing can be started at all
        self.skill = skill
        self.owner = Owner(f"process of skill {skill.name}")
        self.pid = 0
        """Of the skill, once started; the reaper is its parent."""
        self.code: int | None = None
        """How the skill ended (negative: by that signal)."""
        self._heard = heard
        self._lost: Callable[[str], None] | None = lost
        self._grace_seconds = grace_seconds
        self._mark = secrets.token_hex(16)
        self._told = b""
        self._closing: asyncio.Task[None] | None = None
        self._running: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reaped = asyncio.Event()
        self._gone = asyncio.Event()
        self._open = {"reaper", "stdin", "stdout", "stderr"}
        """What of it is not over yet."""
        self._stdin = Pipe(lambda: self._over("stdin"))
        self._stdout = Lines(self._on_line, self._on_long_line, lambda: self._over("stdout"))
        self.stderr = Tail(lambda: self._over("stderr"))
        self._reaper: subprocess.Popen[bytes]
        self._lifeline: socket.socket

    async def start(self) -> None:
        """Return once the command runs. Raises SkillError when it cannot; then nothing is left of it."""
        try:
            self._lifeline, theirs = socket.socketpair()
            with theirs:
                self._reaper = self.spawn(theirs.fileno())
        except OSError as error:
            if hasattr(self, "_lifeline"):
                self._lifeline.close()
            self._end()
            raise SkillError(
                f"skill {self.skill.name!r} cannot be started ({error.strerror}: {error.filename or 'process'}); "
                "check its command and cwd in the catalog, and the limits of the server's user"
            ) from error
        try:
            # To its end, also when cancelled: uvloop (0.23) closes a pipe in mid-connection without a connection_lost,
            # and for that `release` would wait for ever.
            await finished(asyncio.create_task(self._connect()))
            await self._running
        except BaseException:
            await self.close()
            raise

    def spawn(self, lifeline: int) -> subprocess.Popen[bytes]:
        """Run the reaper with the command below it."""
        halves = str(round(self._grace_seconds * 500))  # the other half is for an end by itself at EOF
        options = ("--owner", str(os.getpid()), "--lifeline", str(lifeline), "--grace", halves, "--linger", "0")
        return subprocess.Popen(
            (sys.executable, "-I", "-S", reaper(), *options, "--", *self._command()),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=(lifeline,),  # and no other descriptor of ours
            env=self.skill.environment(os.environ) | {MARK: self._mark},
            cwd=self.skill.cwd,
        )

    def _command(self) -> tuple[str, ...]:
        limits = self.skill.limits
        wanted = {
            "RLIMIT_AS": None if limits.memory_mib is None else limits.memory_mib << 20,
            "RLIMIT_NOFILE": limits.files,
            "RLIMIT_NPROC": limits.processes,
            "RLIMIT_CPU": limits.cpu_seconds,
        }
        given = [f"{name}={number}" for name, number in wanted.items() if number is not None]
        prelude = (sys.executable, "-I", "-S", _LIMITED, *given, "--") if given else ()
        return (*prelude, *self.skill.command)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._watch = os.pidfd_open(self._reaper.pid)
        except OSError as error:  # no descriptor is left, so we could not see it end later
            self._reaper.kill()
            with self._reaper, self._lifeline:
                self._end()
            raise SkillError(f"skill {self.skill.name!r} cannot be started ({error.strerror}); try again") from error
        loop.add_reader(self._watch, self._on_reaper_end)
        self._lifeline.setblocking(False)
        loop.add_reader(self._lifeline, self._on_told)
        await loop.connect_write_pipe(lambda: self._stdin, self._reaper.stdin)
        await loop.connect_read_pipe(lambda: self._stdout, self._reaper.stdout)
        await loop.connect_read_pipe(lambda: self.stderr, self._reaper.stderr)

    def send(self, line: bytes) -> None:
        """Write a line. Raises LimitError when it does not read what it was sent, SkillEndedError when it is lost."""
        if self._lost is None or "stdin" not in self._open:
            raise SkillEndedError(f"skill {self.skill.name!r} has ended; the next call starts it again")
        if self._stdin.transport.get_write_buffer_size() + len(line) > MOST_UNSENT:
            raise LimitError(
                f"skill {self.skill.name!r} does not read: {MOST_UNSENT >> 20} MiB wait for it; try again later"
            )
        self._stdin.transport.write(line + b"\n")

    @property
    def reads(self) -> bool:
        """Whether a short line can be sent now."""
        return (
            "stdin" in self._open
            and self._lost is not None
            and self._stdin.transport.get_write_buffer_size() < MOST_UNSENT // 2
        )

    def lose(self, why: str) -> None:
        """Take it as lost: nothing more is heard of it. Said once, and never after `close`."""
        if self._lost is not None:
            lost, self._lost = self._lost, None
            lost(why)

    def _on_line(self, line: bytes) -> None:
        if self._lost is None:
            self._stdout.shut()  # so that a flood ends
        else:
            self._heard(line)

    def _on_long_line(self) -> None:
        self._stdout.shut()
        self.lose(f"it wrote a line of more than {LONGEST_LINE >> 20} MiB")

    def _on_told(self) -> None:
        """The reaper said something: that the command runs, or how it ended."""
        try:
            said = self._lifeline.recv(4096)
        except (BlockingIOError, ConnectionResetError):
            said = b""
        if not said:
            asyncio.get_running_loop().remove_reader(self._lifeline)
            return
        *lines, self._told = (self._told + said).split(b"\n")
        for word, number, *_ in map(bytes.split, lines):
            if word == b"started":
                self.pid = int(number)
                if not self._running.done():
                    self._running.set_result(None)
            elif word == b"ended":
                self.code = int(number)

    def _on_reaper_end(self) -> None:
        """All its descendants have been waited for: that is the reaper's proof. Now it is waited for itself."""
        loop = asyncio.get_running_loop()
        self.reap()
        self._on_told()
        self.let_go()
        self._reaped.set()
        loop.call_later(_LAST_WORDS_SECONDS, self._shut)
        if (self._reaper.returncode or 0) >= 0:
            self._over("reaper")
        else:  # it was killed, so it has proved nothing
            hunt = loop.run_in_executor(None, kill_strays, self._mark)
            hunt.add_done_callback(lambda _: self._over("reaper"))

    def reap(self) -> None:
        """Wait for the reaper, which has ended."""
        self._reaper.wait()

    def let_go(self) -> None:
        """Close what we see the reaper's end with, and the lifeline, whose end is a live reaper's order to kill."""
        loop = asyncio.get_running_loop()
        for watched in (self._watch, self._lifeline.fileno()):
            loop.remove_reader(watched)
        os.close(self._watch)
        self._lifeline.close()

    def _over(self, what: str) -> None:
        self._open.discard(what)
        if not self._open - {"stdin"}:
            self._lose_closed(what)
        elif what in {"stdin", "stdout"}:  # an end closes them too: how it ended, and its last answer, may yet be read
            asyncio.get_running_loop().call_later(_LAST_WORDS_SECONDS, self._lose_closed, what)
        if not self._open:
            self._end()

    def _lose_closed(self, what: str) -> None:
        if self.code is None:
            self.lose(f"it closed its {what}" if not self._reaped.is_set() else "its reaper was killed")
        elif self.code == _NOT_EXECUTED:
            self.lose(f"it could not be executed: {self.stderr.last_line()}")
        elif self.code >= 0:
            self.lose(f"it ended with exit code {self.code}")
        else:
            name = signal.Signals(-self.code).name if -self.code in set(signal.Signals) else f"signal {-self.code}"
            self.lose(f"it was ended by {name}" + (" (its limit cpu_seconds)" if name == "SIGXCPU" else ""))

    def _end(self) -> None:
        """Nothing of it is left."""
        if not self._running.done():
            why = self.stderr.last_line() or "its reaper ended before it was started"
            self._running.set_exception(
                SkillError(f"skill {self.skill.name!r}: {why}; check its command in the catalog")
            )
            self._running.exception()  # taken note of: a start that was given up does not ask any more
        self._gone.set()
        self.owner.end()

    def _shut(self) -> None:
        for pipe, name in ((self._stdin, "stdin"), (self._stdout, "stdout"), (self.stderr, "stderr")):
            pipe.shut()
            if pipe.transport is None:  # cancelled before it was connected
                getattr(self._reaper, name).close()
                self._over(name)

    async def close(self) -> None:
        """End it: EOF, half the grace, SIGTERM, half the grace, SIGKILL to all. Returns when nothing is left.

        Goes on also when the caller is cancelled. Twice is no error.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self.release(), name=f"end of skill {self.skill.name}")
        await asyncio.shield(self._closing)

    async def release(self) -> None:
        """What `close` does, once."""
        self._lost = None
        if not hasattr(self, "_reaper"):  # cancelled before it was started
            self._end()
            return
        if self._gone.is_set():
            return
        self._stdin.shut()
        if not await _within(self._reaped, self._grace_seconds / 2) and not self._reaped.is_set():
            self._reaper.send_signal(signal.SIGCONT)  # a skill may have stopped its parent
            self._lifeline.shutdown(socket.SHUT_WR)  # not only close: a forked copy of us may hold the socket too
            if not await _within(self._reaped, self._grace_seconds / 2 + _REAP_SECONDS):
                self._reaper.kill()  # the skill goes with it (PDEATHSIG)
                await self._reaped.wait()
        self._shut()
        await self._gone.wait()


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
