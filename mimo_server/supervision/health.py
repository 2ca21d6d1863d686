"""Whether the server is well: checks that run by themselves, and a report that costs nothing to ask for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import Literal, Self

from mimo_server.supervision.events import Events, Kind

Check = Callable[[], Awaitable[str | None]]
"""None: well; else the problem in one sentence."""

LAG_THRESHOLD_SECONDS = 0.25
"""Ten frames of an animation: a person notices; a request of this server takes a hundredth of it."""
_LAG_EVERY_SECONDS = 0.1
_LONGEST_PROBLEM = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check said last."""

    problem: str | None
    age_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How the server is."""

    status: Literal["ok", "degraded"]
    checks: Mapping[str, Finding]


class LoopLag:
    """How late the event loop wakes who sleeps: for so long something blocked it, or no processor was to be had.

    Does not see: which callback it was; a block that ends before the next waking is due.
    """

    def __init__(self, *, window_seconds: float = 10.0) -> None:
        self.high_water_seconds = 0.0
        self._window_seconds = window_seconds
        self._due: float | None = None
        self._worst = [0.0, 0.0]
        """Of the last window and of this one: together they are the last `window_seconds` at least."""
        self._window_ends = 0.0

    def seconds(self) -> float:
        """The longest of the last one to two windows, with what is overdue now."""
        overdue = 0.0 if self._due is None else time.monotonic() - self._due
        return max(*self._worst, overdue)

    async def measure(self) -> None:
        """Measure until cancelled."""
        while True:
            self._due = time.monotonic() + _LAG_EVERY_SECONDS
            try:
                await asyncio.sleep(_LAG_EVERY_SECONDS)
                self._note(time.monotonic(), time.monotonic() - self._due)
            finally:
                self._due = None

    async def check(self) -> str | None:
        """A problem from a quarter of a second on."""
        lag = self.seconds()
        if lag < LAG_THRESHOLD_SECONDS:
            return None
        return f"the event loop was held up for {lag:.2f} s (threshold {LAG_THRESHOLD_SECONDS} s)"

    def _note(self, now: float, lag: float) -> None:
        if now >= self._window_ends:
            self._worst = [self._worst[1], 0.0]
            self._window_ends = now + self._window_seconds
        self._worst[1] = max(self._worst[1], lag)
        self.high_water_seconds = max(self.high_water_seconds, lag)


class Health:
    """Each check has a task of its own, which runs it, keeps what it said and waits; so none holds up another.

    `checks` is filled in by the app before the start; "loop" is always there too.
    """

    def __init__(self, events: Events, *, every: float = 5.0, deadline: float = 2.0) -> None:
        self.checks: Mapping[str, Check] = MappingProxyType({})
        self.lag = LoopLag(window_seconds=2 * every)
        self._events = events
        self._every = every
        self._deadline = deadline
        self._found: dict[str, tuple[float, str | None]] = {}
        """What was said and when (monotonic)."""
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start; when this returns each check has spoken, or has missed its deadline."""
        checks = {**self.checks, "loop": self.lag.check}
        first = {name: asyncio.Event() for name in checks}
        self._tasks = [asyncio.create_task(self.lag.measure(), name="health: lag")]
        self._tasks += [
            asyncio.create_task(self._keep_checking(name, check, first[name]), name=f"health: {name}")
            for name, check in checks.items()
        ]
        try:
            for spoken in first.values():
                await spoken.wait()
        except asyncio.CancelledError:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    def report(self) -> Report:
        """What is known now: no search, no embedding, no I/O. A check that has not spoken for too long is a problem."""
        now = time.monotonic()
        checks = {name: self._finding(now - at, problem) for name, (at, problem) in self._found.items()}
        well = all(finding.problem is None for finding in checks.values())
        return Report(status="ok" if well else "degraded", checks=checks)

    def _finding(self, age: float, problem: str | None) -> Finding:
        if problem is None and age > self._every + 2 * self._deadline:
            problem = f"it was last checked {age:.0f} s ago, and is checked every {self._every:g} s"
        return Finding(problem=problem, age_seconds=age)

    async def _keep_checking(self, name: str, check: Check, spoken: asyncio.Event) -> None:
        while True:
            task = asyncio.create_task(_asked(check), name=f"check: {name}")
            try:
                await asyncio.wait({task}, timeout=self._deadline)
                self._note(name, self._said(task))
                spoken.set()
                task.cancel()
                await asyncio.wait({task})  # at most one of each: one that will not be cancelled is not started again
                await asyncio.sleep(self._every)
            finally:
                task.cancel()
                await asyncio.wait({task}, timeout=self._deadline)

    def _said(self, task: asyncio.Task[str | None]) -> str | None:
        if not task.done():
            return f"the check did not answer within {self._deadline:g} s"
        if task.cancelled():
            return "the check was cancelled"
        error = task.exception()
        return task.result() if error is None else f"the check failed: {error!r}"

    def _note(self, name: str, problem: str | None) -> None:
        problem = None if problem is None else problem[:_LONGEST_PROBLEM]
        before = self._found.get(name, (0.0, None))[1]
        self._found[name] = (time.monotonic(), problem)
        if problem is not None and before is None:
            self._events.emit(Kind.UNHEALTHY, check=name, problem=problem)
        elif problem is None and before is not None:
            self._events.emit(Kind.HEALTHY, check=name)

    async def _end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self._tasks = []


async def _asked(check: Check) -> str | None:
    """Call it within its task, so that a check that raises at once is like one that raises later."""
    return await check()
