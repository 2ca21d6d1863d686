"""How a quantity grows with size: a power law on log–log scales, and a straight line. Pure functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from leakcheck.detect.wandering import t_quantile
from leakcheck.model.sweep import Growth

_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t for 97.5 % with 1 to 10 degrees of freedom (any table): the series used beyond fails below 8."""
_ENOUGH_SIZES = 3
"""For an interval: with two, a line fits without any error whatever the truth is."""
_MEMORY, _DISK, _TIME, _OTHER = (1024.0 * 1024.0, 0.02), (8192.0, 0.02), (2e-5, 0.10), (0.0, 0.02)


def resolution(quantity: str, unit: str) -> tuple[float, float]:
    """Return what is not told from nothing: an amount, and a share of the largest value.

    1 MiB or 2 % of memory (an interpreter's heap moves by as much with the same work), 8 KiB or 2 % of disk (blocks),
    20 µs or a tenth of a duration, 2 % of anything else. Does not see: how noisy this server really is.
    """
    if unit == "bytes":
        return _DISK if quantity.startswith("disk") else _MEMORY
    return _TIME if unit == "s" else _OTHER


def tolerated(smallest: tuple[float, float]) -> float:
    """Return how far, as a share, a law may miss a run: twice the share that is not told from nothing."""
    return 2 * smallest[1]


def quantile(free: int) -> float:
    """Return Student's t for 97.5 % with so many degrees of freedom, at least one."""
    return _QUANTILES[free - 1] if free <= len(_QUANTILES) else t_quantile(0.975, free)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Ordinary least squares of y on x: intercept + slope · x.

    slope = Σ(x−x̄)(y−ȳ) / Sxx with Sxx = Σ(x−x̄)²; s² = Σr²/(n−2); the slope's interval is slope ± t·s/√Sxx, t from
    Student's distribution with n−2 degrees of freedom (Draper and Smith, Applied Regression Analysis, 3rd ed.,
    sections 1.2 to 1.4).
    Does not see: errors that are not alike at all x; a curve that is no line within the range.
    """

    slope: float
    intercept: float
    sizes: int
    """Different x."""
    error: float
    """s; 0 where it cannot be known."""
    worst: float
    """Largest of |r|."""
    count: int
    spread: float
    """Sxx."""

    @property
    def reach(self) -> float | None:
        """t, or None where no interval can be had."""
        if self.sizes < _ENOUGH_SIZES:
            return None
        return quantile(self.count - 2)

    def of_slope(self) -> tuple[float | None, float | None]:
        """Return the interval of the slope."""
        if self.reach is None:
            return None, None
        half = self.reach * self.error / math.sqrt(self.spread)
        return self.slope - half, self.slope + half


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """base + e^intercept · size^slope."""

    base: float
    line: Line
    flat: bool
    bends: bool
    """It misses a run by more than is tolerated: no single exponent describes the growth."""


def line(x: Sequence[float], y: Sequence[float]) -> Line | None:
    """Fit a line; None with fewer than two different x. `x` and `y` are equally long."""
    sizes = len(set(x))
    if sizes < 2:
        return None
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    slope, intercept = np.linalg.lstsq(np.column_stack([xs, np.ones_like(xs)]), ys, rcond=None)[0]
    left = ys - slope * xs - intercept
    free = len(xs) - 2
    return Line(
        slope=float(slope),
        intercept=float(intercept),
        sizes=sizes,
        error=math.sqrt(float(left @ left) / free) if free > 0 else 0.0,
        worst=float(np.abs(left).max()),
        count=len(xs),
        spread=float(((xs - xs.mean()) ** 2).sum()),
    )


def law(runs: Sequence[tuple[int, float]], base: float, smallest: tuple[float, float]) -> Law | None:
    """Fit the power law to (size, value) of each run, above `base`, the empty server's; None with too few sizes.

    Where the values differ by less than `smallest` (see `resolution`) the growth is flat, and the law is that of the
    whole, `base` included.
    Sizes whose value above `base` is within that resolution are left out: their logarithm is noise.
    Where the law misses a run by more than `tolerated`, the growth bends: a cache that was filling, say.
    Does not see: two costs of different exponents, which look like one in between within that.
    """
    least, share = smallest
    means = _means(runs)
    if len(means) < 2:
        return None
    largest = max(abs(value) for value in means.values())
    flat = max(means.values()) - min(means.values()) <= max(least, share * largest)
    taken_off = 0.0 if flat else base
    floor = 0.0 if flat else least
    good = {size for size, value in means.items() if value - taken_off > floor}
    fitted = [(size, value - taken_off) for size, value in runs if size in good and value > taken_off]
    found = line([math.log(size) for size, _ in fitted], [math.log(value) for _, value in fitted])
    if found is None:
        return None
    return Law(base=taken_off, line=found, flat=flat, bends=not flat and found.worst > tolerated(smallest))


def growth(runs: Sequence[tuple[int, float]], base: float, smallest: tuple[float, float]) -> Growth | None:
    """Return exponent and slope with their intervals at 95 %; None with fewer than two sizes.

    `last_exponent`, between the two largest sizes, tells of a bend: log(y₂/y₁) / log(size₂/size₁) above the base.
    The slope per item is a straight line through all runs on plain scales; the largest sizes weigh most in it.
    Does not see: see `law` and `Line`.
    """
    straight, power = line([float(size) for size, _ in runs], [value for _, value in runs]), law(runs, base, smallest)
    if straight is None:
        return None
    low, high = straight.of_slope()
    (before, after) = list(pairwise(sorted(_means(runs).items())))[-1]
    ends = power.line.of_slope() if power else (None, None)
    above = [value - power.base for _, value in (before, after)] if power else []
    return Growth(
        sizes=power.line.sizes if power else straight.sizes,
        flat=power.flat if power else False,
        bends=power.bends if power else False,
        base=base,
        exponent=power.line.slope if power else None,
        exponent_low=ends[0],
        exponent_high=ends[1],
        last_exponent=(
            math.log(above[1] / above[0]) / math.log(after[0] / before[0]) if above and min(above) > 0 else None
        ),
        per_item=straight.slope,
        per_item_low=low,
        per_item_high=high,
        last_per_item=(after[1] - before[1]) / (after[0] - before[0]),
    )


def _means(runs: Sequence[tuple[int, float]]) -> dict[int, float]:
    by_size: dict[int, list[float]] = {}
    for size, value in runs:
        by_size.setdefault(size, []).append(value)
    return {size: sum(values) / len(values) for size, values in by_size.items()}
