"""How often something may be done: a token bucket for each key, and a bound on the keys."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from mimo_server.errors import LimitError
from mimo_server.supervision.registry import Bound


@dataclass(slots=True, kw_only=True)
class _Bucket:
    tokens: float
    at: float
    """Monotonic seconds when it held them."""


class RateLimit:
    """At most `burst` at once and `per_second` in the long run, for each key.

    A key is what the server knows of the caller (its connection, its session), never what the caller says of itself.
    At most `keys` are kept; the one not used for the longest goes first, and would find a full bucket again. So `keys`
    is to be no fewer than the callers there can be at once.
    """

    def __init__(
        self, name: str, *, per_second: float, burst: int, keys: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.name, self.per_second, self.burst, self.keys = name, per_second, burst, keys
        self._now = now
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()
        self._high_water = self._refused = self._evicted = 0

    def admit(self, key: Hashable) -> None:
        """Take one token of that key. Raises LimitError, which says when to try again."""
        now = self._now()
        bucket = self._buckets.setdefault(key, _Bucket(tokens=self.burst, at=now))
        self._buckets.move_to_end(key)
        bucket.tokens, bucket.at = min(self.burst, bucket.tokens + (now - bucket.at) * self.per_second), now
        self.evict()
        self._high_water = max(self._high_water, len(self._buckets))
        if bucket.tokens < 1:
            self._refused += 1
            wait = (1 - bucket.tokens) / self.per_second
            raise LimitError(
                f"{self.name}: more than {self.burst} at once and {self.per_second:g} a second; "
                f"try again in {wait:.3f} s"
            )
        bucket.tokens -= 1

    def evict(self) -> None:
        """Let go of the keys that are too many."""
        while len(self._buckets) > self.keys:
            self._buckets.popitem(last=False)
            self._evicted += 1

    def forget(self, key: Hashable) -> None:
        """The caller has gone. A key that is not there is no error."""
        self._buckets.pop(key, None)

    def bounds(self) -> tuple[Bound, ...]:
        """Keys that are kept; `rejected` counts what was not admitted."""
        return (
            Bound(
                name=self.name,
                size=len(self._buckets),
                limit=self.keys,
                high_water=self._high_water,
                rejected=self._refused,
                evicted=self._evicted,
            ),
        )
