"""What several rules compute alike: lines through points, and tests for a trend."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from intervals import normal_tail, student_tail
from numpy.typing import NDArray

_FEWEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Ordinary least squares through points."""

    slope: float
    """Per unit of x."""
    at_end: float
    """The line's value at the last x."""
    r2: float
    """Share of the variance that it explains; 0 where y is constant."""
    p: float
    """Probability of so steep a rise without a trend, residuals independent (one-sided)."""
    residual: float
    """Standard deviation around the line."""


def line(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> Line | None:
    """Fit a line; None for fewer than three points or a single x."""
    spread = xs - xs.mean()
    across = float(spread @ spread)
    if len(xs) < 3 or across == 0:
        return None
    slope = float(spread @ (ys - ys.mean())) / across
    around = ys - ys.mean() - slope * spread
    left, whole = float(around @ around), float((ys - ys.mean()) @ (ys - ys.mean()))
    freedom = len(xs) - 2
    error = math.sqrt(left / freedom / across)
    exact = 0.0 if slope > 0 else 1.0
    return Line(
        slope=slope,
        at_end=float(ys.mean() + slope * spread[-1]),
        r2=1 - left / whole if whole > 0 else 0.0,
        p=student_tail(slope / error, freedom) if error > 0 else exact,
        residual=math.sqrt(left / freedom),
    )


def mann_kendall(values: NDArray[np.float64], *, autocorrelated: bool = False) -> float:
    """Return the probability of so much rise without a trend (one-sided), ties corrected (Mann 1945, Kendall 1975).

    With `autocorrelated` the variance is corrected by the significant autocorrelations of the ranks around Sen's line
    (Hamed and Rao 1998); without, values must be independent for it to hold.
    """
    count = len(values)
    if count < _FEWEST:
        return 1.0
    one, other = np.triu_indices(count, k=1)
    score = float(np.sign(values[other] - values[one]).sum())
    _, ties = np.unique(values, return_counts=True)
    variance = (count * (count - 1) * (2 * count + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if autocorrelated:
        variance *= _inflation(values)
    if variance <= 0 or score == 0:
        return 1.0
    return normal_tail((score - math.copysign(1, score)) / math.sqrt(variance))


def _inflation(values: NDArray[np.float64]) -> float:
    """By how much autocorrelation widens the score's variance (Hamed and Rao's equation 14)."""
    count = len(values)
    at = np.arange(count, dtype=float)
    one, other = np.triu_indices(count, k=1)
    around = values - np.median((values[other] - values[one]) / (at[other] - at[one])) * at
    ranks = around.argsort(kind="stable").argsort(kind="stable").astype(float)
    ranks -= ranks.mean()
    whole = float(ranks @ ranks)
    total = 0.0
    for lag in range(1, count - 2):
        correlation = float(ranks[lag:] @ ranks[:-lag]) / whole
        if abs(correlation) > 1.96 / math.sqrt(count):
            total += (count - lag) * (count - lag - 1) * (count - lag - 2) * correlation
    return max(1e-9, 1 + 2 * total / (count * (count - 1) * (count - 2)))


def blocks(values: NDArray[np.float64], count: int) -> list[NDArray[np.float64]]:
    """Cut into so many parts of nearly equal length."""
    return [np.asarray(part, dtype=float) for part in np.array_split(values, count)]
