"""What the load was over time: users, requests and failures, few samples however long it runs. Pure.

Locust's own history of requests grows for as long as a run takes; this one does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

MOST = 512
"""Samples: at one every two seconds a quarter of an hour, then one of two is kept, then one of four."""
_MOST_RUNS = 16
_LEAD = 10.0
"""Seconds before a run that are shown with it, or a twentieth of its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The load at one instant."""

    at: float
    """Unix seconds."""
    users: int
    requests: int
    """Finished since Locust was started, over all runs."""
    failures: int
    """Of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The load since the sample before."""

    at: float
    """Unix seconds."""
    users: float
    requests: float
    """A second."""
    failures: float
    """A second."""


@dataclass(slots=True, kw_only=True)
class Run:
    """From one start to its stop."""

    began: float
    """Unix seconds, as is its end."""
    ended: float | None = None
    requests: int = 0
    """Finished in it, at the last sample."""


class History:
    """Samples and runs, oldest first, both bounded. Where the clock was set back, samples begin anew.

    Does not see: what happened between two samples.
    """

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.runs: list[Run] = []
        self._every, self._number = 1, 0
        self._requests = self._failures = 0
        """As Locust counted them at the last sample: it begins anew with each run and each reset."""

    def begin(self, at: float) -> None:
        """Note the start of a run, at Unix seconds."""
        self._requests = self._failures = 0
        self.runs = [*self.runs[1 - _MOST_RUNS :], Run(began=at)]

    def end(self, at: float) -> None:
        """Note its stop; a stop without a start says nothing."""
        if self.runs and self.runs[-1].ended is None:
            self.runs[-1].ended = at

    def add(self, at: float, users: int, requests: int, failures: int) -> None:
        """Take a sample: Unix seconds, users now, requests and failures as Locust counts them."""
        last = self.samples[-1] if self.samples else Sample(at=at - 1, users=0, requests=0, failures=0)
        if at < last.at:
            self.samples.clear()
        done = requests - self._requests if requests >= self._requests else requests
        failed = failures - self._failures if failures >= self._failures else failures
        self._requests, self._failures = requests, failures
        if self.runs:
            self.runs[-1].requests += done
        one = Sample(at=at, users=users, requests=last.requests + done, failures=last.failures + failed)
        if self._number % self._every and len(self.samples) > 1:
            self.samples.pop()
        self.samples.append(one)
        self._number += 1
        if len(self.samples) > MOST:
            self.samples, self._every = self.samples[::2], self._every * 2

    def window(self, now: float) -> tuple[float, float]:
        """The time that a page shows, in Unix seconds: the last run and a little before it, or all there is."""
        first = self.samples[0].at if self.samples else now
        if not self.runs:
            return first, max(now, first + 1)
        began = self.runs[-1].began
        lead = max(_LEAD, (now - began) / 20)
        return max(first, began - lead) if first < began else began, max(now, began + 1)

    def points(self, start: float, end: float, least_seconds: float) -> Iterator[Point]:
        """Give the load between two Unix times, each rate over at least so many seconds: workers report now and then.

        Does not see: peaks shorter than that.
        """
        behind = 0
        for index, one in enumerate(self.samples):
            while behind + 1 < index and one.at - self.samples[behind + 1].at >= least_seconds:
                behind += 1
            before = self.samples[behind]
            span = one.at - before.at
            if index and start <= one.at <= end and span > 0:
                yield Point(
                    at=one.at,
                    users=one.users,
                    requests=(one.requests - before.requests) / span,
                    failures=(one.failures - before.failures) / span,
                )
