"""Tickets: one ticket is one operation, so that players who take them play exactly what was asked.

Locust's users play for ever at their own pace; an audit needs known numbers. Here every user is a player whose only
task is to take the next ticket from a queue.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gevent.event import Event
from gevent.queue import Empty, SimpleQueue
from locust.runners import LocalRunner

START_SECONDS = 10.0
"""How long new players may take to begin (their on_start)."""


def spread(doses: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return (kind, which of its kind) for every operation, all kinds evenly interleaved, always in the same order."""
    placed = [
        ((number + 0.5) / dose, rank, kind, number)
        for rank, (kind, dose) in enumerate(doses.items())
        for number in range(dose)
    ]
    return [(kind, number) for _, _, kind, number in sorted(placed)]


@dataclass(slots=True, kw_only=True)
class Play:
    """What one play did, as it is told."""

    done: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    problem: str | None = None
    gone: bool = False
    _queues: Sequence[SimpleQueue[Ticket]] = ()
    _left: int = 0
    _ended: Event = field(default_factory=Event)

    def run(self, tickets: Iterable[tuple[SimpleQueue[Ticket], Ticket]], seconds: float) -> None:
        """Hand out the tickets; return when all are played, or those that were begun within `seconds`."""
        placed = list(tickets)
        self._queues = list({id(queue): queue for queue, _ in placed}.values())
        self._left = len(placed)
        for queue, ticket in placed:
            queue.put(ticket)
        if placed and not self._ended.wait(seconds):
            self._withdraw()
            self._ended.wait()  # what was begun ends: every operation has a patience of its own

    def ended(self, kind: str, took: float, problem: str | None) -> None:
        """Enter one operation that reached the server."""
        self.done[kind] = self.done.get(kind, 0) + 1
        self.seconds[kind] = self.seconds.get(kind, 0.0) + took
        if problem is not None:
            self.failed[kind] = self.failed.get(kind, 0) + 1
            self.problem = self.problem or problem
        self._one_less()

    def not_played(self) -> None:
        """Enter one operation that never reached the server."""
        self._one_less()

    def give_up(self, problem: str) -> None:
        """Nobody listens any more: play nothing further."""
        self.problem, self.gone = self.problem or problem, True
        self._withdraw()

    def _withdraw(self) -> None:
        for queue in self._queues:
            with contextlib.suppress(Empty):
                while True:
                    queue.get_nowait()
                    self._left -= 1
        if not self._left:
            self._ended.set()

    def _one_less(self) -> None:
        self._left -= 1
        if not self._left:
            self._ended.set()

    def as_json(self) -> dict[str, Any]:
        """Return it as the answer to the driver, without the CPU time."""
        return {name: getattr(self, name) for name in ("done", "failed", "seconds", "problem", "gone")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One operation to be played by whoever takes it."""

    play: Play
    kind: str
    work: Callable[[Any], None]
    """Plays it, given the player; raises what went wrong."""
    patience: float
    """Seconds."""


def staff(runner: LocalRunner, wanted: Mapping[str, int]) -> None:
    """Spawn the players that are missing, by user class, and wait until they have begun.

    Users that end by themselves (StopUser, a failed on_start) are replaced here, before the next play.
    """
    there = runner.user_classes_count
    missing = {name: number - there[name] for name, number in wanted.items() if number > there[name]}
    if not missing:
        return
    users = runner.spawn_users(missing)
    until = time.monotonic() + START_SECONDS
    for user in users:
        while not user.begun.is_set() and not user.greenlet.dead and time.monotonic() < until:
            user.begun.wait(0.05)
    runner.environment.events.spawning_complete.fire(user_count=runner.user_count)


def forget_statistics(runner: LocalRunner) -> None:
    """Locust's statistics grow for as long as they are kept: a key a second, an entry per error text."""
    runner.stats.clear_all()
    runner.exceptions.clear()
