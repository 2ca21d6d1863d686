"""When an audit looks at its verdicts before its end: at few and fixed times, for each is a chance to be wrong.

What such a look accuses must show again in fresh rounds and stay in a quiet phase; what it clears had
thousands of operations of each kind.
"""

from __future__ import annotations

from collections.abc import Sequence

from leakcheck.history import first_judged, operations_by_round
from leakcheck.model.event import Floor

_FIRST = 27
"""Floors: a third of them left out, these are what memory needs."""
_GROWTH = 1.4
_ENOUGH = 4000
"""Operations of each kind that were judged: three pieces in a thousand of them show, with the power aimed at."""


class Looks:
    """Says when it is time."""

    def __init__(self, *, is_fixed: bool) -> None:
        """`is_fixed`: the number of rounds was given, so it is never time."""
        self._next = float("inf") if is_fixed else float(_FIRST)
        self._is_half_over = False

    def is_due(self, floors: Sequence[Floor], *, is_half_over: bool) -> bool:
        """Whether enough floors were added since the last look, or half of the time is over for the first time."""
        at_half, self._is_half_over = is_half_over and not self._is_half_over, is_half_over
        return len(floors) >= self._next or (at_half and len(floors) >= _FIRST and self._next < float("inf"))

    def looked(self, floors: Sequence[Floor]) -> None:
        """Set the next time, now that the verdicts were looked at, and what leaked was proven."""
        self._next = max(self._next, len(floors)) * _GROWTH


def is_clear(kinds: Sequence[str], floors: Sequence[Floor]) -> bool:
    """Whether of each kind enough was played to call it clean before the time is over."""
    judged = operations_by_round(floors)[first_judged(floors) + 1 :]
    return all(sum(row.get(kind, 0) for row in judged) >= _ENOUGH for kind in kinds)
