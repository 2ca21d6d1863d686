"""Verdicts while a watch goes on: reached anew as often as their own cost allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leakcheck.model.audit import Audit
from leakcheck.model.event import Ended, Event, Floor
from leakcheck.verdicts import conclude

_CPU_SHARE = 0.005
"""Of a core: 240 floors take a quarter of a second to judge, and as long again to write as JSON and HTML."""
_AT_LEAST_EVERY = 600.0
_EARLY_FLOORS, _EARLY_EVERY = 64, 8
"""So few floors are judged in tens of milliseconds: verdicts may come often while there is little to go by."""


class Rolling:
    """The verdicts so far, and when the next are due."""

    def __init__(self, seen: Callable[[], Sequence[Event]]) -> None:
        """`seen` gives the events so far, with their floors thinned."""
        self._seen = seen
        self._at = 0.0
        self._new_floors = 0
        self._judged: tuple[Audit, Floor | None] | None = None
        self.cost_seconds = 0.0
        """CPU time of the last judging, and of what was made of it."""

    def floor_was_added(self) -> None:
        """Know of one floor more that is not judged."""
        self._new_floors += 1

    def floors(self) -> list[Floor]:
        """Return the floors so far."""
        return [event for event in self._seen() if isinstance(event, Floor)]

    def is_due(self, elapsed: float) -> bool:
        """Whether it is time to judge: at once, early on at every eighth floor, later as seldom as it is dear."""
        if self._judged is None:
            return True
        if not self._new_floors:
            return False
        if self._new_floors >= _EARLY_EVERY and len(self.floors()) <= _EARLY_FLOORS:
            return True
        return elapsed - self._at >= min(_AT_LEAST_EVERY, self.cost_seconds / _CPU_SHARE)

    def judge(self, elapsed: float, ended: Ended) -> None:
        """Judge what was seen so far as if it had ended now."""
        floors = self.floors()
        self._judged = conclude([*self._seen(), ended]), floors[-1] if floors else None
        self._at, self._new_floors = elapsed, 0

    def last(self) -> tuple[Audit, Floor | None, float]:
        """Return the last verdicts, the last floor that they rest on, and when they were reached."""
        if self._judged is None:
            raise LookupError("nothing was judged yet")
        return *self._judged, self._at
