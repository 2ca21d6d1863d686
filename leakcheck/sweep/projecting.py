"""What a quantity would be at a size that was not measured, if any law fits what was. Pure functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from leakcheck.sweep.growth import quantile, tolerated

_ENOUGH_SIZES = 3

Runs = Sequence[tuple[int, float]]
"""Size and value of each run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """A figure for one size; without `low` and `high` it has no interval."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fit:
    """Least squares: rows · factors = targets, with s² = Σr²/(n−p) and C = (rowsᵀ rows)⁻¹."""

    factors: NDArray[np.float64]
    inverse: NDArray[np.float64]
    error: float
    free: int
    worst: float
    """Largest of |r|: both laws make it a share of the value."""


class _Power:
    """value = base + e^a · size^b, fitted to logarithms: errors are shares of what is above the base."""

    def __init__(self, runs: Runs, base: float) -> None:
        self._base = base
        rows = [(1.0, math.log(size)) for size, _ in runs]
        self.fit = _fit(rows, [math.log(value - base) for _, value in runs])

    def at(self, size: float) -> Projection:
        row = np.array([1.0, math.log(size)])
        middle = float(row @ self.fit.factors)
        reach = _reach(self.fit, 1.0, row)
        low, high = middle - reach, min(middle + reach, 600.0)
        return Projection(
            value=self._base + math.exp(middle), low=self._base + math.exp(low), high=self._base + math.exp(high)
        )


class _Straight:
    """value = a + b · size, each run divided by its value: errors are shares of the value here too."""

    def __init__(self, runs: Runs) -> None:
        self.fit = _fit([(1.0 / value, size / value) for size, value in runs], [1.0] * len(runs))

    def at(self, size: float) -> Projection:
        row = np.array([1.0, float(size)])
        value = float(row @ self.fit.factors)
        reach = _reach(self.fit, value, row)
        return Projection(value=value, low=max(0.0, value - reach), high=value + reach)


def project(runs: Runs, base: float, smallest: tuple[float, float], size: float) -> tuple[Projection | None, str]:
    """Return the figure at `size`, or None and why there is none.

    Tried are a power law above `base` and a straight line, through all sizes and through the three largest. A law
    counts if it gives every run that it is fitted to within twice what is not told from nothing (4 % of memory and
    disk, a fifth of times). The interval spans those of all that count (one more run, at 95 %: ŷ ± t·√(s²ŵ² + s²xᵀCx),
    Draper and Smith, Applied Regression Analysis, 3rd ed., sections 1.4, 5.1 and 9.2); the value is that of the law
    that fits best. Two sizes give a value and no interval.
    Does not see: a server that changes its ways beyond the largest size that was measured.
    """
    good = [(size, value) for size, value in runs if value > 0]
    sizes = sorted({size for size, _ in good})
    if len(sizes) < 2:
        return None, "fewer than two sizes were measured"
    if len(sizes) < _ENOUGH_SIZES:
        found = _Straight(good).at(size)
        return Projection(value=found.value, low=None, high=None), ""
    laws = [law for law in _laws(good, sizes, base) if law.fit.worst <= tolerated(smallest)]
    if not laws:
        return None, "its growth bends: no law fits what was measured; measure larger sizes"
    every = [law.at(size) for law in sorted(laws, key=lambda law: law.fit.worst)]
    lows, highs = [one.low for one in every if one.low is not None], [one.high for one in every if one.high is not None]
    return Projection(value=every[0].value, low=min(lows), high=max(highs)), ""


def _laws(runs: Runs, sizes: Sequence[int], base: float) -> Iterator[_Power | _Straight]:
    for few in dict.fromkeys((tuple(sizes), tuple(sizes[-_ENOUGH_SIZES:]))):
        chosen = [(size, value) for size, value in runs if size in few]
        if all(value > base for _, value in chosen):
            yield _Power(chosen, base)
        yield _Straight(chosen)


def _fit(rows: Sequence[tuple[float, float]], targets: Sequence[float]) -> _Fit:
    matrix, wanted = np.asarray(rows, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    scale = np.abs(matrix).max(axis=0)  # sizes in millions beside ones: without it the inverse loses its digits
    factors = np.linalg.lstsq(matrix / scale, wanted, rcond=None)[0] / scale
    left = wanted - matrix @ factors
    free = len(targets) - 2
    scaled = matrix / scale
    return _Fit(
        factors=factors,
        inverse=np.linalg.inv(scaled.T @ scaled) / np.outer(scale, scale),
        error=math.sqrt(float(left @ left) / free) if free > 0 else 0.0,
        free=free,
        worst=float(np.abs(left).max()),
    )


def _reach(fit: _Fit, weight: float, row: NDArray[np.float64]) -> float:
    """T · √(s²·weight² + s²·xᵀCx): `weight` is what one more run's error is a share of."""
    return quantile(max(1, fit.free)) * fit.error * math.sqrt(weight**2 + float(row @ fit.inverse @ row))
