"""One run with arrivals: operations that begin when they are due, and what is counted of them. Locust's events call it.

Does not see: requests in greenlets of an operation's own, whose rows show the time from sending.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from gevent import getcurrent
from locust import User
from locust.event import EventHook
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_WAITING

from loadtests.failures import Failures
from loadtests.latencies import Latencies, summary
from loadtests.schedule import Arrival, Schedule

LATE_SECONDS = 0.01
"""An operation that begins this much later than intended began late: all users were busy, or this process was."""
OPERATIONS = "operations"
"""The row of whole operations, from when they were intended to when their user was free again."""
MOST_STEPS = 100_000
"""A soak of years; each step has a figure of its own, whatever the rows are."""
_UNDER_WAY = "leakcheck_operation"
"""The attribute of a user's greenlet."""


class Operation:
    """One operation on its way."""

    __slots__ = ("arrival", "behind", "failed", "first_end")

    def __init__(self, arrival: Arrival) -> None:
        self.arrival, self.failed = arrival, False
        self.behind = max(0.0, time.monotonic() - arrival.at)
        """Seconds from when it should have begun to when it did."""
        self.first_end: float | None = None
        """When its first row ended: rows that began before that began with the operation."""

    def counted(self, took: float) -> float:
        """Seconds for a row that has just ended and took so long: since the intention, if it began with this."""
        now = time.monotonic()
        if self.first_end is None:
            self.first_end = now
        return took + self.behind if now - took <= self.first_end else took


class OpenLoop:
    """In one process; on the master what all workers report."""

    def __init__(self) -> None:
        self.schedule = Schedule(self._note)
        self.failures = Failures()
        self.from_intended, self.from_sent = Latencies(), Latencies()
        """By row: `POST tools/call echo`, and OPERATIONS."""
        self.by_step = Latencies(MOST_STEPS, open_at_once=2)
        """Of whole operations, from when they were intended; the key is the step's number."""
        self.counts: dict[int, Counter[str]] = {}
        """By step: due, dropped, begun, late, ended, failed."""
        self.steps: list[dict[str, float]] = []
        """Rate (per second), begin and end (`time.monotonic`) of each step, in the process that decides on them."""

    def clear(self) -> None:
        """Begin anew: nothing is due, nothing counted."""
        self.schedule.clear()
        self.failures.clear()
        self.from_intended.clear()
        self.from_sent.clear()
        self.by_step.clear()
        self.counts, self.steps = {}, []

    def next_step(self, rate: float) -> int:
        """Enter a step with this rate; its number."""
        self.end_step()
        self.steps.append({"rate": rate, "begin": time.monotonic()})
        return len(self.steps) - 1

    def end_step(self) -> None:
        """The last step is over."""
        if self.steps:
            self.steps[-1].setdefault("end", time.monotonic())

    def wait(self, user: User) -> None:
        """End the user's operation, if there is one, and begin the next as soon as its time has come.

        While it waits the user may be stopped, as in a pause of Locust's own.
        """
        greenlet = getcurrent()
        before: Operation | None = getattr(greenlet, _UNDER_WAY, None)
        if before is not None:
            setattr(greenlet, _UNDER_WAY, None)
            self._ended(before)
        state, user._state = user._state, LOCUST_STATE_WAITING  # noqa: SLF001 - as TaskSet.wait does
        operation = Operation(self.schedule.take())
        if state == LOCUST_STATE_RUNNING:
            user._state = state  # noqa: SLF001
        self._note(operation.arrival.step, "begun")
        if operation.behind > LATE_SECONDS:
            self._note(operation.arrival.step, "late")
        setattr(greenlet, _UNDER_WAY, operation)

    def _ended(self, operation: Operation) -> None:
        step, took = operation.arrival.step, time.monotonic() - operation.arrival.at
        self._note(step, "ended")
        if operation.failed:
            self._note(step, "failed")
        self.from_intended.record(OPERATIONS, took)
        self.by_step.record(str(step), took)
        self.from_sent.record(OPERATIONS, took - operation.behind)

    def _note(self, step: int, what: str) -> None:
        self.counts.setdefault(step, Counter())[what] += 1

    def request(self, facts: dict[str, Any]) -> None:
        """Count a request that has just ended; its response time becomes the one from the intention.

        Of failures that each have words of their own only the first ones are passed on as they are.
        """
        took = float(facts["response_time"]) / 1000
        operation: Operation | None = getattr(getcurrent(), _UNDER_WAY, None)
        total = took
        if operation is not None:
            total = operation.counted(took)
            operation.failed |= facts.get("exception") is not None
            facts["response_time"] = total * 1000
        if (error := facts.get("exception")) is not None:
            facts["exception"] = self.failures.bounded(error)
        name = f"{facts['request_type']} {facts['name']}"
        self.from_sent.record(name, took)
        self.from_intended.record(name, total)

    def take(self) -> dict[str, Any]:
        """What was counted since the last call, as a worker reports it; nothing of it is kept."""
        counts, self.counts = self.counts, {}
        return {
            "from_intended": self.from_intended.take(),
            "from_sent": self.from_sent.take(),
            "by_step": self.by_step.take(),
            "counts": [[step, dict(one)] for step, one in counts.items()],
        }

    def merge(self, taken: Mapping[str, Any]) -> None:
        """Add what a worker has taken."""
        self.from_intended.merge(taken["from_intended"])
        self.from_sent.merge(taken["from_sent"])
        self.by_step.merge(taken["by_step"])
        for step, counts in taken["counts"]:
            self.counts.setdefault(step, Counter()).update(counts)

    def as_json(self) -> dict[str, Any]:
        """Everything, for a file: latencies in milliseconds, rates per second."""
        names = [name for name in self.from_sent.keys() if name != OPERATIONS]  # noqa: SIM118 - no Mapping
        rows = [OPERATIONS, *names] if self.steps else names
        return {
            "steps": [self.step(number) for number in range(len(self.steps))],
            "rows": {
                name: {
                    "from_intended": summary(self.from_intended.of(name)),
                    "from_sent": summary(self.from_sent.of(name)),
                }
                for name in rows
            },
        }

    def step(self, number: int) -> dict[str, Any]:
        """What one step was to be, and what it was."""
        step = self.steps[number]
        seconds = step.get("end", time.monotonic()) - step["begin"]
        counts = self.counts.get(number, Counter())
        return {
            "rate": step["rate"],
            "seconds": round(seconds, 3),
            "achieved_rate": round(counts["ended"] / seconds, 3) if seconds else 0.0,
            **{name: counts[name] for name in ("due", "dropped", "begun", "late", "ended", "failed")},
            **({"meets": bool(step["meets"])} if "meets" in step else {}),
            **summary(self.by_step.of(str(number))),
        }


class Requests(EventHook):
    """Locust's request event in a run with arrivals: what its listeners hear is counted from the intention."""

    def __init__(self, before: EventHook, run: OpenLoop) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._handlers = before._handlers  # noqa: SLF001 - who listens already goes on to
        self._run = run

    def fire(self, *, reverse: bool = False, **facts: Any) -> None:
        """Tell all listeners of one request."""
        self._run.request(facts)
        super().fire(reverse=reverse, **facts)  # type: ignore[no-untyped-call]
