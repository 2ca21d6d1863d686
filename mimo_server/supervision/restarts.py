"""How often something may fail before it is left alone for a while, and how long to wait before the next start."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable


class RestartBudget:
    """At most `most` failures within `within` seconds; each one doubles the wait before the next start.

    It is one thing's budget: what it closes is that thing and never its siblings.
    """

    def __init__(
        self,
        *,
        most: int = 5,
        within: float = 60.0,
        first_delay: float = 0.1,
        longest_delay: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.most = most
        self.within = within
        self._first_delay = first_delay
        self._longest_delay = longest_delay
        self._clock = clock
        self._chance = chance
        self._failures: deque[float] = deque(maxlen=most)
        self._not_before = 0.0

    def failed(self) -> None:
        """Note a failure now, and draw the wait that follows it."""
        self._forget()
        now = self._clock()
        doubled = min(self._longest_delay, self._first_delay * 2 ** len(self._failures))
        self._failures.append(now)
        self._not_before = now + doubled * (0.5 + self._chance() / 2)  # jitter: many must not come back at one instant

    def delay(self) -> float:
        """Seconds to wait before the next start; 0 when none failed lately."""
        self._forget()
        return max(0.0, self._not_before - self._clock()) if self._failures else 0.0

    def closed_for(self) -> float:
        """Seconds until it may be tried again when the budget is used up; else 0."""
        self._forget()
        return self._failures[0] + self.within - self._clock() if len(self._failures) == self.most else 0.0

    def _forget(self) -> None:
        while self._failures and self._clock() - self._failures[0] >= self.within:
            self._failures.popleft()
