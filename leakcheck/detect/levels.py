"""The rule for levels: memory and other noisy, autocorrelated amounts, judged at settled floors.

The slope is Theil and Sen's (median of pairwise slopes) against operations done; its interval comes from a moving
block bootstrap of the residuals, which keeps their autocorrelation (Künsch 1989). A leak must also rise from block to
block of six, go on in the later half, not be made of one jump, and be worth more than an allocator's habits. What is
not a leak is clean down to the upper end of the interval, if that end is low enough to say something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from leakcheck.detect import Judgement, amount
from leakcheck.detect.attribution import attribute, follows_the_doses
from leakcheck.detect.slowing import slows
from leakcheck.detect.wandering import drifts, follows_a_line
from leakcheck.model.finding import Detectable, Per, Rate, Shape, Verdict
from leakcheck.model.kinds import ALL
from leakcheck.model.reading import AMOUNTS
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
_WIDER = 1.4
"""Resampled blocks of residuals, from which their own line was taken, spread too little: of 60 runs of 40 floors with
white noise the interval held the true slope in 47."""
_BY_CHANCE = 0.05
"""Of the slope's interval that is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Habits:
    """What a kind of level does in a healthy program, and what a clean verdict may leave open."""

    least_share: float
    """Growth below this share of the level is left to the program."""
    least: float
    """…and so is growth below this."""
    small: Mapping[Per, float]
    """Growth whose upper end is below this is left open by a clean verdict, which states it."""
    worst: Mapping[Per, float]
    """A clean verdict that could not have seen this much would say nothing."""
    few_floors: bool = False
    """Whether 16 floors are enough to accuse it."""


_PAGES = _Habits(
    least_share=0.10,
    least=4 << 20,
    small={Per.OPERATION: 1024.0, Per.SECOND: 1024.0},
    worst={Per.OPERATION: 65536.0, Per.SECOND: 16384.0},
)
"""Of the kernel's count of pages: one glibc heap grows by 132 KiB, one pymalloc arena by 1 MiB, several at a time. A
second's bytes are a day's 84 MiB and 1.3 GiB."""
_HABITS = {
    "memory.": _PAGES,
    "heap.blocks": _Habits(
        least_share=0.0,
        least=200.0,
        small={Per.OPERATION: 0.5, Per.SECOND: 5.0},
        worst={Per.OPERATION: 64.0, Per.SECOND: 100.0},
        few_floors=True,
    ),
    "heap.malloc": _Habits(
        least_share=0.002,
        least=64 << 10,
        small={Per.OPERATION: 64.0, Per.SECOND: 512.0},
        worst={Per.OPERATION: 16384.0, Per.SECOND: 16384.0},
        few_floors=True,
    ),
    "node.": _Habits(
        least_share=0.03,
        least=1 << 20,
        small={Per.OPERATION: 256.0, Per.SECOND: 512.0},
        worst={Per.OPERATION: 32768.0, Per.SECOND: 16384.0},
    ),
}
"""By the beginning of the resource's name. Counted inside the process, after a collection, nothing is left of pages
and arenas: a free list grows by a hundred blocks, a table in C doubles."""
_UNKNOWN = _Habits(
    least_share=0.10,
    least=0.0,
    small={Per.OPERATION: 1024.0, Per.SECOND: 1024.0},
    worst={Per.OPERATION: 65536.0, Per.SECOND: 16384.0},
)
_A = {Per.OPERATION: "an operation", Per.SECOND: "a second"}
_PEAK_SHARE = 0.05
_PEAK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slope:
    value: float
    low: float
    high: float
    error: float
    """Standard deviation of the resampled slopes."""


def _habits(name: str) -> _Habits:
    return next((habits for start, habits in _HABITS.items() if name.startswith(start)), _UNKNOWN)


def judge_level(series: Series, first: int, by_chance: float = _BY_CHANCE) -> Judgement:
    """Judge floors `first`… of a level. Never LEAK on fewer than FEWEST_FLOORS floors.

    `by_chance`: how often a slope of zero may be taken for another one.

    Does not see: leaks below `detectable`; a leak inside what the allocator had kept for reuse; a bound that lies
    beyond the run.
    """
    floors = np.array(series.values[first:], dtype=float)
    if len(floors) < FEWEST_FLOORS:
        evidence = f"Needs at least {FEWEST_FLOORS} floors after warm-up, got {len(floors)}."
        longer = (FEWEST_FLOORS + 1) / max(1, len(floors))
        return Judgement(verdict=Verdict.UNDECIDED, shape=None, evidence=evidence, times_longer=longer)
    work, per = _work(series, first)
    if work[-1] <= work[0]:
        return Judgement(verdict=Verdict.UNDECIDED, shape=None, evidence="No operations were played after warm-up.")
    slope = _theil_sen(work, floors)
    late = _theil_sen(work[len(work) // 2 :], floors[len(floors) // 2 :])
    objections = _objections(work, floors, slope, by_chance, few_floors=_habits(series.resource.name).few_floors)
    if not objections and _wanders(series, first, by_chance):
        objections = ("it wanders as much as it rose",)
    unit, rise = series.resource.unit, float(floors[-1] - floors[0])
    least = _least_growth(series, floors)
    detectable = Detectable(value=max(slope.high, least / float(work[-1] - work[0]), 0.0), unit=unit, per=per)
    if not objections and slope.low > 0 and rise >= least:
        rate = Rate(value=slope.value, low=slope.low, high=slope.high, unit=unit, per=per)
        return _leak(series, first, rate, detectable)
    upper = slope.high if slope.low <= 0 else max(late.high, 0.0)
    allocator = least / float(work[-1] - work[0])
    open_to = max(upper, allocator)
    habits = _habits(series.resource.name)
    if unit in AMOUNTS and (upper > max(habits.small[per], allocator) or open_to > habits.worst[per]):
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
    low, high = value + _WIDER * (np.quantile(slopes, [0.025, 0.975]) - value)
    return _Slope(value=float(value), low=float(low), high=float(high), error=_WIDER * float(np.std(slopes)))


def _median_slope(work: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    one, other = np.triu_indices(len(work), k=1)
    run = work[other] - work[one]
    one, other, run = one[run > 0], other[run > 0], run[run > 0]
    return np.asarray(np.median((rows[:, other] - rows[:, one]) / run, axis=1), dtype=float)


def _least_growth(series: Series, floors: NDArray[np.float64]) -> float:
    base = float(np.median(floors[: len(floors) // 3]))
    habits = _habits(series.resource.name)
    return max(habits.least_share * abs(base), habits.least, series.resource.spare)


def _objections(
    work: NDArray[np.float64], floors: NDArray[np.float64], slope: _Slope, by_chance: float, *, few_floors: bool
) -> tuple[str, ...]:
    """What speaks against a lasting rise, in words; empty when nothing does."""
    found = []
    if len(floors) < _FEWEST_TO_ACCUSE and floors[-1] < 2 * floors[0] and not few_floors:
        found.append(
            f"{_FEWEST_TO_ACCUSE} floors are needed to call a rise of memory a leak, and there are {len(floors)}"
        )
    minima = [float(np.min(block)) for block in np.array_split(floors, _BLOCKS)]
    if any(after <= before for before, after in pairwise(minima)):
        found.append("its lowest floors did not rise throughout")
    half = len(floors) // 2
    early = _median_slope(work[:half], floors[None, :half])[0]
    late = _median_slope(work[half:], floors[None, half:])[0]
    rounds = list(zip(np.diff(floors), np.diff(work), strict=True))
    if late < _LATE_OVER_EARLY * early or slows(rounds[: len(rounds) // 2], rounds[len(rounds) // 2 :]):
        found.append("it slowed down")
    increments, rise = np.diff(floors), float(floors[-1] - floors[0])
    if rise > 0 and float(np.max(increments)) > _LARGEST_JUMP * rise:
        found.append("one jump makes up most of it")
    if slope.low <= 0 or slope.value <= NormalDist().inv_cdf(1 - by_chance / 2) * slope.error:
        found.append("its slope cannot be told from zero")
    return tuple(found)


def _wanders(series: Series, first: int, by_chance: float) -> bool:
    """Whether chance alone could have added the steps up: the resampling above takes noise for one that returns."""
    floors = series.values[first:]
    steps = [
        series.values[index] - series.values[index - 1]
        for index in range(first + 1, len(series.values))
        if index not in series.breaks
    ]
    return not (
        drifts(steps, by_chance)
        or follows_a_line(floors, by_chance)
        or follows_the_doses(attribute(series, first), len(steps), by_chance)
    )


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
    evidence = f"Changed by {amount(rise, unit)}; {why}. Up to {amount(upper, unit)} {_A[per]} cannot be ruled out."
    longer = (upper / _habits(series.resource.name).small[per]) ** (2 / 3)
    detectable = Detectable(value=upper, unit=unit, per=per)
    return Judgement(
        verdict=Verdict.UNDECIDED,
        shape=shape,
        evidence=evidence,
        detectable=detectable,
        times_longer=max(1.3, longer),  # the error of a slope falls with time to the power of 1.5
    )


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
