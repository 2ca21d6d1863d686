"""The rule for levels: memory and other noisy, autocorrelated amounts, judged at settled floors.

The slope is Theil and Sen's (median of pairwise slopes) against operations done; its interval comes from a moving
block bootstrap of the residuals, which keeps their autocorrelation (Künsch 1989). A leak must also rise from block to
block of six, go on in the later half, not be made of one jump, and be worth more than an allocator's habits. What is
not a leak is clean down to the upper end of the interval, if that end is low enough to say something.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from leakcheck.detect import Judgement, amount
from leakcheck.detect.attribution import attribute
from leakcheck.model.finding import Detectable, Per, Rate, Shape, Verdict
from leakcheck.model.kinds import ALL
from leakcheck.model.series import Series

FEWEST_FLOORS = 16
"""Fewer give intervals that do not hold under autocorrelation."""
_FEWEST_TO_ACCUSE = 24
"""…unless it doubled its level: a server that imports its modules lazily rose straight through 22 recorded floors."""
_BLOCKS = 6
_LATE_OVER_EARLY = 0.7
_LARGEST_JUMP = 0.4
"""One round's share of the whole growth above which it is a step: an arena, a table that doubled."""
_RESAMPLES = 400
_LEAST_SHARE = 0.10
"""Growth below this share of the level is left to the allocator."""
_LEAST_BYTES = 4 << 20
"""…and so is growth below this: one glibc heap grows by 132 KiB, one pymalloc arena by 1 MiB, several at a time."""
_SMALL_BYTES = 1024.0
"""An operation: growth whose upper end is below this is left open by a clean verdict, which states it."""
_WORST_CLEAN_BYTES = 65536.0
"""A clean verdict that could not have seen this much an operation would say nothing."""
_LEFT_OPEN = {Per.OPERATION: (_SMALL_BYTES, _WORST_CLEAN_BYTES), Per.SECOND: (1024.0, 16384.0)}
"""By what growth is counted by; a second's bytes are a day's 84 MiB and 1.3 GiB."""
_A = {Per.OPERATION: "an operation", Per.SECOND: "a second"}
_PEAK_SHARE = 0.05
_PEAK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slope:
    value: float
    low: float
    high: float


def judge_level(series: Series, first: int) -> Judgement:
    """Judge floors `first`… of a level. Never LEAK on fewer than FEWEST_FLOORS floors.

    Does not see: leaks below `detectable`; a leak inside what the allocator had kept for reuse; a bound that lies
    beyond the run.
    """
    floors = np.array(series.values[first:], dtype=float)
    if len(floors) < FEWEST_FLOORS:
        evidence = f"Needs at least {FEWEST_FLOORS} floors after warm-up, got {len(floors)}."
        return Judgement(verdict=Verdict.UNDECIDED, shape=None, evidence=evidence)
    work, per = _work(series, first)
    if work[-1] <= work[0]:
        return Judgement(verdict=Verdict.UNDECIDED, shape=None, evidence="No operations were played after warm-up.")
    slope = _theil_sen(work, floors)
    late = _theil_sen(work[len(work) // 2 :], floors[len(floors) // 2 :])
    objections = _objections(work, floors, slope)
    unit, rise = series.resource.unit, float(floors[-1] - floors[0])
    least = _least_growth(series, floors)
    detectable = Detectable(value=max(slope.high, least / float(work[-1] - work[0]), 0.0), unit=unit, per=per)
    if not objections and slope.low > 0 and rise >= least:
        rate = Rate(value=slope.value, low=slope.low, high=slope.high, unit=unit, per=per)
        return _leak(series, first, rate, detectable)
    upper = slope.high if slope.low <= 0 else max(late.high, 0.0)
    allocator = least / float(work[-1] - work[0])
    open_to = max(upper, allocator)
    small, worst = _LEFT_OPEN[per]
    if unit == "bytes" and (upper > max(small, allocator) or open_to > worst):
        return _undecided(series, floors, slope, objections, (open_to, per))
    detectable = Detectable(value=open_to, unit=unit, per=per)
    return _clean(series, first, floors, objections, detectable)


def _work(series: Series, first: int) -> tuple[NDArray[np.float64], Per]:
    played = np.array([sum(row) for row in series.operations], dtype=float)
    if played.any():
        return np.cumsum(played)[first:], Per.OPERATION
    return np.array(series.seconds[first:], dtype=float), Per.SECOND


def _theil_sen(work: NDArray[np.float64], floors: NDArray[np.float64]) -> _Slope:
    """Median pairwise slope and its 95 % moving block bootstrap interval; seeded, so the same numbers always."""
    value = _median_slope(work, floors[None, :])[0]
    residual = floors - value * work
    residual -= residual.mean()
    count = len(floors)
    block = max(2, round(count ** (1 / 3)) + 1)
    starts = np.random.default_rng(1).integers(0, count - block + 1, size=(_RESAMPLES, -(-count // block)))
    picked = (starts[:, :, None] + np.arange(block)).reshape(_RESAMPLES, -1)[:, :count]
    slopes = _median_slope(work, value * work + residual[picked])
    low, high = np.quantile(slopes, [0.025, 0.975])
    return _Slope(value=float(value), low=float(low), high=float(high))


def _median_slope(work: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    one, other = np.triu_indices(len(work), k=1)
    run = work[other] - work[one]
    one, other, run = one[run > 0], other[run > 0], run[run > 0]
    return np.asarray(np.median((rows[:, other] - rows[:, one]) / run, axis=1), dtype=float)


def _least_growth(series: Series, floors: NDArray[np.float64]) -> float:
    base = float(np.median(floors[: len(floors) // 3]))
    share = _LEAST_SHARE * abs(base)
    return max(share, float(_LEAST_BYTES)) if series.resource.name.startswith("memory.") else share


def _objections(work: NDArray[np.float64], floors: NDArray[np.float64], slope: _Slope) -> tuple[str, ...]:
    """What speaks against a lasting rise, in words; empty when nothing does."""
    found = []
    if len(floors) < _FEWEST_TO_ACCUSE and floors[-1] < 2 * floors[0]:
        found.append(
            f"{_FEWEST_TO_ACCUSE} floors are needed to call a rise of memory a leak, and there are {len(floors)}"
        )
    minima = [float(np.min(block)) for block in np.array_split(floors, _BLOCKS)]
    if any(after <= before for before, after in pairwise(minima)):
        found.append("its lowest floors did not rise throughout")
    half = len(floors) // 2
    early = _median_slope(work[:half], floors[None, :half])[0]
    late = _median_slope(work[half:], floors[None, half:])[0]
    if late < _LATE_OVER_EARLY * early:
        found.append("it slowed down")
    increments, rise = np.diff(floors), float(floors[-1] - floors[0])
    if rise > 0 and float(np.max(increments)) > _LARGEST_JUMP * rise:
        found.append("one jump makes up most of it")
    if slope.low <= 0:
        found.append("its slope cannot be told from zero")
    return tuple(found)


def _leak(series: Series, first: int, rate: Rate, detectable: Detectable) -> Judgement:
    attribution = attribute(series, first)
    owner = attribution.owner
    owned = attribution.rate(series.resource.unit)
    timed = owner is not None and owner.cause is None
    operation = None if owner is None or owner.cause == ALL else owner.cause
    rise, unit = series.values[-1] - series.values[first], series.resource.unit
    evidence = (
        f"Rose by {amount(rise, unit)} over the judged rounds, from block to block and in the later half as fast as "
        "before."
    )
    return Judgement(
        verdict=Verdict.LEAK,
        shape=Shape.TIME_DRIVEN if timed else Shape.SLOPE,
        evidence=evidence,
        operation=operation,
        rate=owned if owned is not None and (operation or timed) else rate,
        detectable=detectable,
        suspects=attribution.shared(unit),
    )


def _undecided(
    series: Series, floors: NDArray[np.float64], slope: _Slope, objections: tuple[str, ...], open_to: tuple[float, Per]
) -> Judgement:
    rise, unit = float(floors[-1] - floors[0]), series.resource.unit
    upper, per = open_to
    shape = Shape.FILLING if slope.low > 0 and rise > 0 else None
    why = "; ".join(objections) if objections else "the growth is small beside the level"
    evidence = (
        f"Changed by {amount(rise, unit)}; {why}. Up to {amount(upper, unit)} {_A[per]} cannot be ruled out: "
        "a longer run decides it."
    )
    return Judgement(verdict=Verdict.UNDECIDED, shape=shape, evidence=evidence)


def _clean(
    series: Series, first: int, floors: NDArray[np.float64], objections: tuple[str, ...], detectable: Detectable
) -> Judgement:
    low, high, rise = float(np.min(floors)), float(np.max(floors)), float(floors[-1] - floors[0])
    unit = series.resource.unit
    peaks = [peak for peak in series.peaks[first:] if peak > 0]
    totals = series.totals[first:]
    over = max(peaks) - max(totals) if peaks and totals else 0.0
    if over > max(_PEAK_SHARE * max(totals), _PEAK_BYTES):
        evidence = f"Up to {amount(over, unit)} more under load, given back at every floor: a peak, not a leak."
        return Judgement(verdict=Verdict.CLEAN, shape=Shape.PEAK, evidence=evidence, detectable=detectable)
    shape: Shape | None
    if high == low:
        shape, evidence = Shape.FLAT, f"Stayed at {amount(low, unit)}."
    elif rise > 0 and "it slowed down" in objections:
        shape, evidence = Shape.PLATEAU, f"Rose by {amount(rise, unit)} and levelled off."
    elif rise > 0 and "one jump makes up most of it" in objections:
        shape, evidence = Shape.STEP, f"Rose by {amount(rise, unit)}, most of it in one step."
    elif rise > 0 and not objections:
        least = amount(_least_growth(series, floors), unit)
        shape = None
        evidence = f"Rose by {amount(rise, unit)}, less than the {least} that are left to the allocator in one run."
    else:
        shape, evidence = (
            Shape.PLATEAU,
            f"Moved within {amount(high - low, unit)} without a lasting rise.",
        )
    return Judgement(verdict=Verdict.CLEAN, shape=shape, evidence=evidence, detectable=detectable)
