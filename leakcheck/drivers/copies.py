"""Further copies of the server, each ended in one way, and what it left behind.

`session`     stdin is closed; SIGTERM once half the grace time is up
`abandon`     stdin is closed in mid-call, and no signal is ever sent
`disconnect`  the client is killed in mid-call: a relay between us and the server gets SIGKILL

Does not see: processes that left the copy's tree by a daemon of somebody else (systemd, docker), and files outside
TMPDIR. Files of the first copy are not counted: they may be caches that later copies share, as npm's are.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol, Self

from leakcheck.credentials import Secrets
from leakcheck.drivers.job import UNANSWERED_SECONDS, Job
from leakcheck.drivers.messages import Expect, Operation, shown
from leakcheck.drivers.peer import Peer
from leakcheck.errors import LeakcheckError, TargetError
from leakcheck.model.event import Copy, Left
from leakcheck.model.reading import Process
from leakcheck.targets import Target
from leakcheck.targets.tree import Stat

KINDS = ("session", "abandon", "disconnect")
MOST = 10
"""Copies of each kind."""
_FILES = 20
"""Names kept of the files that one copy left."""
_RELAY = (sys.executable, "-I", "-S", str(Path(__file__).with_name("relay.py")))


class StartCopy(Protocol):
    """Starts the plan's command once more, in a tree of its own, with pipes."""

    def __call__(self, *, through: tuple[str, ...], environment: Mapping[str, str]) -> Target:
        """Run `through` + command (a free port filled in, if it has one) with `environment` added to the plan's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """How copies are started and how long their ends may take."""

    start: StartCopy
    secrets: Secrets
    grace_seconds: float
    ready_seconds: float
    work: tuple[Operation, ...]
    """Played once each in every copy before its end: what a tool leaves behind shows when its server ends."""
    slow: Operation
    """In flight when the end comes in mid-call."""
    _took: dict[str, float] = field(default_factory=dict, init=False)

    def play(self, seconds: float) -> Iterator[Copy]:
        """Yield copies of each kind in rotation, at most 10 each.

        The first rotation is always played: a way of ending that was never tried is worse than taking longer. After
        it none is started that would not end within `seconds`.

        Raises TargetError when a copy cannot be started or does not work as the audited server did.
        """
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="leakcheck-", ignore_cleanup_errors=True) as directory:
            for number in range(1, MOST + 1):
                for kind in KINDS:
                    started = time.monotonic()
                    expected = self._took.get(kind, max(self._took.values(), default=0.0))
                    if number > 1 and started + expected > begin + seconds:
                        return
                    copy = self._one(kind, number, Path(directory), first=not self._took)
                    self._took[kind] = time.monotonic() - started
                    yield copy

    def _one(self, kind: str, number: int, directory: Path, *, first: bool) -> Copy:
        before = _files(directory)
        through = _RELAY if kind == "disconnect" else ()
        environment = dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(directory))
        try:
            with (
                self.start(through=through, environment=environment) as target,
                closing(Peer(target, self.secrets)) as peer,
            ):
                self._use(peer)
                ended = _Ended.of(target, relayed=bool(through))
                with ended:
                    needed_signal = self._end(kind, peer, ended)
                    left = ended.left(self.grace_seconds)
                    seconds = ended.seconds
                target.end(0.0)  # all is seen: what is still there need not be asked, and waited for, on the way out
        except (LeakcheckError, OSError) as why:
            raise TargetError(f"{kind}: no further copy of the server could be played: {why}") from why
        new = () if first else sorted(_files(directory) - before)[:_FILES]
        files = tuple(Left(what="file", name=self.secrets.hide(shown(name))) for name in new)
        return Copy(
            operation=kind, number=number, ended_seconds=seconds, left=(*left, *files), needed_signal=needed_signal
        )

    def _use(self, peer: Peer) -> None:
        peer.initialize(self.ready_seconds)
        for operation in self.work:
            problem = peer.ask(operation, UNANSWERED_SECONDS).problem
            if problem is not None:
                raise TargetError(f"it does not answer as the audited one did: {problem}")

    def _end(self, kind: str, peer: Peer, ended: _Ended) -> bool:
        """End the copy in its way, wait for its root, and say whether it took a signal."""
        if kind == "disconnect":
            # The ping goes first and in the same write: its answer says that the server has the call too.
            peer.ask(replace(self.slow, pinged=True, expect=Expect.ANSWER), UNANSWERED_SECONDS)
            ended.begin()
            os.kill(peer.target.root.pid, signal.SIGKILL)
            ended.wait(self.grace_seconds)
            return False
        if kind == "abandon":
            peer.conversation.begin(Job((self.slow,)))
        peer.hang_up()
        ended.begin()
        if kind == "abandon":
            ended.wait(self.grace_seconds)
            return False
        if ended.wait(self.grace_seconds / 2):
            return False
        ended.terminate()
        ended.wait(self.grace_seconds)
        return True


class _Ended:
    """The end of one copy: its server's process, held by a pidfd, and who else was there."""

    def __init__(self, target: Target, server: Process, hidden: Process | None) -> None:
        self.seconds: float | None = None
        self._target = target
        self._hidden = hidden
        self._roles = {process.identity: self._role(process) for process in target.members()}
        self._begun = time.monotonic()
        self._pidfd = os.pidfd_open(server.pid)

    @classmethod
    def of(cls, target: Target, *, relayed: bool) -> _Ended:
        """Find the server: the target's root, or with a relay the relay's only child."""
        if not relayed:
            return cls(target, target.root, None)
        for process in target.members():
            if _state(process)[1] == target.root.pid:
                return cls(target, process, target.root)
        raise TargetError("the relay has no child: the server ended before its client was killed")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._pidfd)

    def begin(self) -> None:
        """Count from now."""
        self._begun = time.monotonic()

    def wait(self, until: float) -> bool:
        """Wait for the server's end, at most until so many seconds after the beginning."""
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        left = self._begun + until - time.monotonic()
        if not poll.poll(max(0.0, left) * 1000.0):
            return False
        self.seconds = time.monotonic() - self._begun
        return True

    def terminate(self) -> None:
        """Send SIGTERM to the server's process."""
        signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)

    def left(self, grace_seconds: float) -> tuple[Left, ...]:
        """Return the processes that are still there when the grace time is up; at once when none is."""
        pause = 0.002
        while (there := self._there()) and time.monotonic() < self._begun + grace_seconds:
            time.sleep(pause)
            pause = min(pause * 2, 0.1)
        return tuple(Left(what="process", name=self._roles.get(one.identity) or self._role(one)) for one in there)

    def _there(self) -> list[Process]:
        members = [process for process in self._target.members() if process != self._hidden]
        states = {process: _state(process) for process in members}
        alive = {process.pid for process, (state, _) in states.items() if state not in "ZX"}
        # A zombie whose parent lives has not been waited for; any other is the reaper's, and gone in a moment.
        return [
            process
            for process, (state, parent) in states.items()
            if process.pid in alive or (state == "Z" and parent in alive)
        ]

    def _role(self, process: Process) -> str:
        return process.role.removeprefix(f"{self._hidden.role}>") if self._hidden else process.role


def _state(process: Process) -> tuple[str, int]:
    """Return a process's state letter and its parent; `X` and 0 if it is gone."""
    try:
        stat = Stat.read(process.pid)
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    return (stat.state, stat.parent) if stat.started == process.started else ("X", 0)


def _files(directory: Path) -> set[str]:
    """Return the files below `directory`, and the directories that hold nothing."""
    found: set[str] = set()
    for place, folders, files in os.walk(directory):
        inside = os.path.relpath(place, directory)
        found |= {os.path.normpath(f"{inside}/{name}") for name in files}
        if not files and not folders and inside != ".":
            found.add(f"{inside}/")
    return found
