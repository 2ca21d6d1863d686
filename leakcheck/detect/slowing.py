"""Whether growth slows: a cache of what comes again and again still grows, each new thing rarer than the one before."""

from __future__ import annotations

import math
from collections.abc import Sequence

NEARLY_AS_FAST = 0.9
"""Late rate over early rate that is not worth telling from 1."""
_BY_CHANCE = 2.5
"""Standard errors: a steady leak seems to slow by so much in 6 runs of 1,000."""
_FEWEST_ROUNDS = 3


def slows(early: Sequence[tuple[float, float]], late: Sequence[tuple[float, float]]) -> bool:
    """Whether the late rounds grow more slowly than the early ones, by a tenth or more and by more than chance.

    Each round is its growth and its work, in any units. The rate of each part is growth over work (ratio estimator);
    its variance is that of the rounds about it (Cochran 1977, section 6.3), so that pieces which come in bunches count
    as bunches.

    Does not see: growth whose bound is so far that the rate has not begun to fall.
    """
    if min(len(early), len(late)) < _FEWEST_ROUNDS:
        return False
    (before, error_before), (after, error_after) = _rate(early), _rate(late)
    if before <= 0 or after >= NEARLY_AS_FAST * before:
        return False
    return before - after > _BY_CHANCE * math.hypot(error_before, error_after)


def _rate(rounds: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the rate and its standard error."""
    growth, work = (sum(column) for column in zip(*rounds, strict=True))
    if work <= 0:
        return 0.0, math.inf
    rate = growth / work
    squares = sum((one - rate * done) ** 2 for one, done in rounds)
    return rate, math.sqrt(squares * len(rounds) / (len(rounds) - 1)) / work
