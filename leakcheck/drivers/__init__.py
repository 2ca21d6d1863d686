"""What makes the target work: `stdio` an MCP conversation, `http` plain requests, `command` anything else.

A driver plays operations in known numbers and says how many were done; it never looks at the target's resources.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from leakcheck.model.event import Copy, NotPlayed
from leakcheck.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What the driver learned from the first answers."""

    server: str
    """What the server says it is."""
    protocol: str
    operations: tuple[str, ...]
    """Kinds that `play` takes, in a fixed order."""
    invokes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By kind: the `call:` kinds whose tools it calls as well (a cancelled call may be a call)."""
    apart: tuple[str, ...] = ()
    """Further kinds that `play` takes, for a phase of their own: sessions that are abandoned."""
    not_played: tuple[NotPlayed, ...] = ()
    writes: tuple[str, ...] = ()
    """Those of `operations` that do not declare to be read-only."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """What was done in one call of `play`."""

    done: Mapping[str, int]
    """By kind, failed ones included: they reached the target."""
    failed: Mapping[str, int] = field(default_factory=dict)
    """By kind: the answer was not what it should be."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By kind: summed time from request to answer."""
    problem: str | None = None
    """The first failure in words, credentials removed."""
    cpu_seconds: float = 0.0
    """CPU time that the load's own processes used for it; 0 where the load is a thread of the auditor."""


class Driver(Protocol):
    """Makes one target work. `close` is always called; it leaves no process, thread or socket."""

    def open(self, target: Target) -> Opened:
        """Wait for the first answer and learn what can be played. Raises NotReady or TargetDied."""

    def play(self, doses: Mapping[str, int]) -> Played:
        """Play so many operations of each kind, interleaved, and return when all are answered.

        Each kind starts anew with its fixed list of inputs: every round replays the same.
        Raises TargetDied when the target ends meanwhile.
        """

    def undo(self) -> None:
        """Play the undoing calls (`--undo`) once; nothing to do without them."""

    def copies(self, seconds: float) -> Iterator[Copy]:
        """Start further copies of the server, end each in its own way, and say what it left; take about `seconds`."""

    def close(self) -> None:
        """Let go of the target. Never raises."""

    def processes(self) -> tuple[int, ...]:
        """Pids of the driver's own processes: their CPU time is the auditor's."""

    @property
    def cpu_seconds(self) -> float:
        """CPU time of those of the driver's own processes that have ended."""
