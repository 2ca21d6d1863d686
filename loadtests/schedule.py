"""When operations are to begin, whatever the server does: arrivals at a steady rate, handed out one by one.

Does not see: bursts; arrivals are evenly spaced, and in distributed runs each worker has every n-th of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import gevent
from gevent.queue import SimpleQueue

MOST_WAITING = 1_000_000
"""Arrivals that wait for a user; beyond it the run is beyond saving, and further ones are counted as dropped."""
_AT_A_STRETCH = 64
"""Arrivals that are given out far behind their time before the users get to run."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One operation that is to begin."""

    at: float
    """Seconds of `time.monotonic`."""
    step: int
    """Which of the rates of this run it belongs to."""


class Schedule:
    """Arrivals of this process. Users `take` them; who waits for one may be killed."""

    def __init__(self, note: Callable[[int, str], None]) -> None:
        """`note` is told of each arrival, with its step, that it is `due`, or `dropped`."""
        self._note = note
        self._queue: SimpleQueue[Arrival] = SimpleQueue()
        self._giver: gevent.Greenlet | None = None

    def go(self, rate: float, step: int, share: tuple[int, int] = (0, 1)) -> None:
        """From now on `rate` arrivals a second in all processes; this one has every `share[1]`-th from `share[0]` on.

        What is due and not taken stays due.
        """
        self.halt()
        begin = time.monotonic() + share[0] / rate
        self._giver = gevent.spawn(self._give, rate / share[1], step, begin)

    def halt(self) -> None:
        """No further arrivals."""
        if self._giver is not None:
            self._giver.kill()
            self._giver = None

    def clear(self) -> None:
        """No further arrivals, and none of those that are due."""
        self.halt()
        while not self._queue.empty():
            self._queue.get_nowait()

    def take(self) -> Arrival:
        """The next one, as soon as its time has come."""
        arrival: Arrival = self._queue.get()
        return arrival

    def _give(self, rate: float, step: int, begin: float) -> None:
        number = 0
        while True:
            at = begin + number / rate
            if (left := at - time.monotonic()) > 0:
                gevent.sleep(left)
            elif number % _AT_A_STRETCH == 0:
                gevent.sleep(0)
            if self._queue.qsize() < MOST_WAITING:
                self._queue.put(Arrival(at, step))
                self._note(step, "due")
            else:
                self._note(step, "dropped")
            number += 1
