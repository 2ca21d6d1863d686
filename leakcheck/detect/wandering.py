"""Tests that tell a lasting rise from a count or a level that only wanders."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import NormalDist, linear_regression

_FEWEST_FOR_DRIFT = 15
"""Rounds: fewer tell too little of how steps add up."""
_FEWEST_FOR_LINE, _MANY = 40, 60
_RETURNS, _RETURNS_OF_MANY = 0.32, 0.40
"""Variance ratio of what is left beside the line: about a quarter where it returns to the line from round to round,
about one where it wanders. Of 6,000 random walks each of 40, 50, 60 and 80 steps, at most 3 passed this and the t-test
at a thirtieth of one in a hundred."""


def drifts(increments: Sequence[float], by_chance: float) -> bool:
    """Whether the mean step is above zero by more than chance, given how far steps add up in the long run.

    The error of the mean is that of the long-run variance (Newey and West 1987, Bartlett weights).

    Does not see: fewer than 15 rounds; a rise that is small beside how far the steps go.
    """
    count = len(increments)
    if count < _FEWEST_FOR_DRIFT:
        return False
    mean = sum(increments) / count
    left = [step - mean for step in increments]
    lags = round(count ** (1 / 3))
    variance = _product(left, 0)
    for lag in range(1, lags + 1):
        variance += 2 * (1 - lag / (lags + 1)) * _product(left, lag)
    least = 1 / count  # one piece more or less at either end is always possible
    free = 1.5 * count / (lags + 1)  # of the variance, where steps are independent: twice over its squared spread
    return mean / math.sqrt(max(variance, least) / count) > t_quantile(1 - by_chance / 2, free)


def _product(left: Sequence[float], lag: int) -> float:
    return sum(one * other for one, other in zip(left, left[lag:], strict=False)) / len(left)


def follows_a_line(floors: Sequence[float], by_chance: float) -> bool:
    """Whether the floors rise along a line by more than chance, and return to it, as what wanders does not.

    A t-test of the slope, its degrees of freedom lowered by the lag-1 autocorrelation of the residuals (Bayley and
    Hammersley 1946), and the variance ratio of these (Lo and MacKinlay 1988).

    Does not see: fewer than 40 floors; a rise whose own steps wander.
    """
    count = len(floors)
    if count < _FEWEST_FOR_LINE:
        return False
    rounds = range(count)
    slope, level = linear_regression(rounds, floors)
    left = [floor - level - slope * index for index, floor in enumerate(floors)]
    squares = sum(one * one for one in left)
    if squares == 0:
        return slope > 0
    memory = max(0.0, sum(one * after for one, after in pairwise(left)) / squares)
    free = (count - 2) * (1 - memory) / (1 + memory)
    spread = sum((index - (count - 1) / 2) ** 2 for index in rounds)
    t = slope / math.sqrt(squares / max(1.0, free) / spread)
    returns = _RETURNS_OF_MANY if count >= _MANY else _RETURNS
    return _variance_ratio(left) <= returns and t > t_quantile(1 - by_chance / 2, free)


def _variance_ratio(left: Sequence[float]) -> float:
    """Return how far it moves in four rounds, over four times how far in one, squared: 1 wanders, 1/4 returns."""
    steps = [after - before for before, after in pairwise(left)]
    strides = [after - before for before, after in zip(left, left[4:], strict=False)]
    one, four = (sum(move * move for move in moves) / len(moves) for moves in (steps, strides))
    return four / (4 * one) if one > 0 else 1.0


def t_quantile(share: float, freedom: float) -> float:
    """Quantile of Student's t by the expansion of Cornish and Fisher to the second order: within 2 % from 8 degrees."""
    z = NormalDist().inv_cdf(share)
    free = max(freedom, 4.0)
    return z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
