"""Which operations a round plays, and how many: few enough to be safe, varied enough to tell one from another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from leakcheck.doses import signs
from leakcheck.model.event import Phase

PILOT_ROUNDS = 3
_PILOT_DOSE = 4
_MOST_ROUNDS = 200
_FEWEST_ROUNDS = 27
"""Nine of warm-up, and sixteen judged floors with something played, which memory needs; fewer if the server is slow."""
_FEWEST_OF_ALL = 12
"""Four of warm-up and eight judged floors, which counts need."""
_ROUNDS_A_KIND = 2.6
"""A third of the rounds is not judged and a seventh of the rest is quiet: this leaves half as many again as there are
causes to tell apart."""
_ROUND_SECONDS = 0.5
"""Aimed at: enough rounds for memory in a dozen seconds, and still far longer than settling takes."""
_SHORT_ROUNDS = 40
"""So many are that short whatever time there is: a leak that shows at once is told at once."""
_WARM_UP = 8
"""Rounds: doses double up to their size in fewer. What is judged later leaves out a third of all rounds anyway."""
_MOST_DOSE = 400
"""Half of plain HTTP requests open a connection of their own: 50 such rounds leave 10,000 in TIME_WAIT, of 28,000."""
_FASTEST_RISE = 2.0
"""A dose may double from one round to the next: what an operation costs may depend on how many there are."""
_SWING = 0.5
"""Doses lie so far above or below their mean, as a share of it: far enough to tell kinds apart, and each still works
in every round."""
_QUIET_EVERY = 7
"""One judged round in seven plays nothing, so that growth by time shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One round to play."""

    phase: Phase
    doses: Mapping[str, int]
    quiet_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What the last rounds taught."""

    seconds_per_operation: Mapping[str, float]
    """Wall time that one operation adds to a round, by kind."""
    overhead_seconds: float
    """Settling, looking and undoing, per round."""
    allowed_operations: float
    """So many operations of all kinds together may still be played before a limit comes near."""


def pilot(kinds: tuple[str, ...], operations: int | None) -> list[Step]:
    """Return the first rounds: small equal doses, to learn what an operation costs."""
    dose = min(_PILOT_DOSE, operations or _PILOT_DOSE)
    return [Step(phase=Phase.PILOT, doses=dict.fromkeys(kinds, dose)) for _ in range(PILOT_ROUNDS)]


class Schedule:
    """Gives one round after the other: warm-up, then the judged ones.

    Every round each kind gets the same share of what time is left, so a server that slows down as it is used gets
    smaller doses, not fewer rounds. Doses are a half or one and a half of that, by the plan of `doses.signs`: growth
    can be put down to a kind.
    """

    def __init__(
        self, kinds: tuple[str, ...], seconds: float, *, rounds: int | None, operations: int | None, seed: int
    ) -> None:
        """`rounds` and `operations` (mean of each kind a round) fix what `seconds` would choose."""
        self._kinds = kinds
        self._operations = operations
        self._seconds = seconds
        self._count = rounds
        self._index = 0
        self._base: dict[str, int] = dict.fromkeys(kinds, _PILOT_DOSE)
        self._signs = signs(len(kinds), seed)

    def next(self, costs: Costs, seconds_left: float) -> Step | None:
        """Return the next round, or None after the last."""
        if self._count is None:
            self._count = self._affordable(costs)
        left = self._count - self._index
        if left <= 0:
            return None
        judged = self._index - max(1, min(_WARM_UP, self._count // 3))
        load_seconds = max(0.02, seconds_left / left - costs.overhead_seconds)
        if self._index < _SHORT_ROUNDS and self._count > _SHORT_ROUNDS:
            load_seconds = min(load_seconds, _ROUND_SECONDS)
        self._index += 1
        if judged >= 0 and (not self._kinds or judged % _QUIET_EVERY == _QUIET_EVERY - 1):
            return Step(phase=Phase.QUIET, doses={}, quiet_seconds=min(load_seconds, _ROUND_SECONDS))
        self._base = {kind: self._dose(kind, load_seconds, left, costs) for kind in self._kinds}
        drawn = zip(self._base.items(), next(self._signs), strict=True)
        doses = {kind: max(1, round(dose * (1 + _SWING * sign))) for (kind, dose), sign in drawn}
        return Step(phase=Phase.WARM_UP if judged < 0 else Phase.MAIN, doses=doses)

    def _affordable(self, costs: Costs) -> int:
        """Return how many rounds to plan: as many as tell the kinds apart, if there is time for one or two of each."""
        fewest = max(_FEWEST_ROUNDS, math.ceil(_ROUNDS_A_KIND * (len(self._kinds) + 1)))
        wanted = max(fewest, min(_MOST_ROUNDS, int(self._seconds / _ROUND_SECONDS)))
        one_each = sum(costs.seconds_per_operation.get(kind, 0.0) for kind in self._kinds)
        shortest = costs.overhead_seconds + (1 + _SWING) * one_each
        return max(_FEWEST_OF_ALL, min(wanted, int(self._seconds / max(shortest, 1e-3))))

    def _dose(self, kind: str, load_seconds: float, rounds_left: int, costs: Costs) -> int:
        if self._operations is not None:
            return self._operations
        by_time = load_seconds / len(self._kinds) / max(costs.seconds_per_operation.get(kind, 0.0), 1e-6)
        by_limit = costs.allowed_operations / len(self._kinds) / rounds_left
        return max(1, int(min(by_time, by_limit, _MOST_DOSE, _FASTEST_RISE * self._base[kind])))
