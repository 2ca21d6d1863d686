"""Exact intervals for shares and quantiles, and the tails that trend tests need: no more than the standard library."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_SURE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def binomial_tail(count: int, of: int, share: float) -> float:
    """Return the probability of `count` or more of `of` at a true share."""
    return math.fsum(math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(count, of + 1))


def share_interval(count: int, of: int) -> Interval:
    """Return a share with the exact interval of Clopper and Pearson (1934).

    Raises ValueError unless 0 ≤ count ≤ of and of > 0.
    """
    if not 0 <= count <= of or of == 0:
        raise ValueError(f"{count} of {of} is no share")
    tail = (1 - _SURE) / 2
    low = 0.0 if count == 0 else _root(lambda share: binomial_tail(count, of, share), tail)
    high = 1.0 if count == of else _root(lambda share: binomial_tail(count + 1, of, share), 1 - tail)
    return Interval(value=count / of, low=low, high=high)


def quantile_interval(values: Sequence[float], share: float) -> Interval | None:
    """Return a quantile (nearest rank) with its distribution-free interval of order statistics; None without values.

    The interval spans the ranks whose binomial tails are at most 2.5 % each; with too few values for that it ends at
    the least or the largest value, and holds the quantile less often than 95 %.
    """
    if not values:
        return None
    ordered, count = sorted(values), len(values)
    tail = (1 - _SURE) / 2
    # P(the quantile lies below the k-th smallest) = P(Binomial < k)
    below = [1 - binomial_tail(rank, count, share) for rank in range(1, count + 1)]
    low = max((rank for rank in range(1, count + 1) if below[rank - 1] <= tail), default=1)
    high = min((rank for rank in range(1, count + 1) if below[rank - 1] >= 1 - tail), default=count)
    at = min(count, max(1, math.ceil(share * count)))
    return Interval(value=ordered[at - 1], low=ordered[min(low, at) - 1], high=ordered[max(high, at) - 1])


def normal_tail(z: float) -> float:
    """Return the probability that a standard normal exceeds z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def student_tail(t: float, freedom: int) -> float:
    """Return the probability that Student's t with so many degrees of freedom exceeds t."""
    half = 0.5 * incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))
    return half if t >= 0 else 1 - half


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b) by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    fraction, c, d = 1.0, 1.0, 0.0
    for step in range(400):  # modified Lentz
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / (1 + term * d or 1e-300)
        c = 1 + term / c or 1e-300
        fraction *= c * d
        if step and abs(c * d - 1) < 1e-14:
            break
    return front * (fraction - 1)


def _root(rising: Callable[[float], float], target: float) -> float:
    """Bisect for the share at which a rising function of it reaches the target."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return (low + high) / 2
