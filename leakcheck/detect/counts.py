"""The rule for exact counts: descriptors, processes, threads, registry entries.

A leak of a count is a rise that does not stop: the lowest floor of the last third lies above the highest of the
first third (for noise without trend and nine floors a third, one chance in C(18, 9) = 48,620); it is no wandering, by
one of four tests; and the later half rises at least 0.4 times as fast as the earlier, 0.7 where there are many pieces.
The tests: rounds rise by what was played of one operation (t-test of its rate); or rounds that rise outnumber those
that fall as a wandering count would by chance in one run of a hundred (sign test; seven rises and no fall); or the mean
step is above zero by more than chance, its error taken from how steps add up over several rounds (long-run variance,
Newey and West 1987): a pool that moves takes back what it added, a leak beside it does not; or many floors lie along a
line and return to it. What slows by more than chance (`slowing`) is no leak yet. A count that rose and then stopped is
a plateau or a step. Everything else that rose is undecided. The tests are held to their share of one chance in a
hundred: where many resources are judged at once, each gets its part (Bonferroni).
"""

from __future__ import annotations

import math

from leakcheck.detect import Judgement
from leakcheck.detect.attribution import Attribution, attribute, follows_the_doses, work_of
from leakcheck.detect.slowing import slows
from leakcheck.detect.wandering import drifts, follows_a_line
from leakcheck.model.finding import Detectable, Per, Rate, Shape, Verdict
from leakcheck.model.kinds import ALL
from leakcheck.model.series import Series

FEWEST_FLOORS = 7
"""Two in each third, and one to start from."""
_FEWEST_RISES = 3
_SLOWEST, _FASTEST = 0.4, 0.7
"""Late rate over early rate below which growth counts as slowing, for few and for many pieces."""
BY_CHANCE = 0.01
"""Of both tests. A count that only wanders, up or down in every other round, passed all else in one run of ten."""
_FEWEST_PIECES = 15.0
"""Fewer are for the sign test alone: a handful of rises, evenly spread by a rotation, lie along a line too."""
_SEEN_WITH_95_PERCENT = 11.85
"""Expected pieces for which a Poisson count is 7 or more with 95 % probability: so many rises the sign test needs."""
_STOPPED = 0.05
"""A pause this improbable at the earlier rate means that growth has stopped."""


def judge_count(series: Series, first: int, by_chance: float = BY_CHANCE) -> Judgement:
    """Judge floors `first`… of a count. Never LEAK on fewer than FEWEST_FLOORS floors.

    `by_chance`: how often a count that only wanders may pass for one that grows.

    Does not see: a bound that lies beyond the run (a ring that is not full yet looks like a leak); leaks rarer than
    `detectable`.
    """
    floors = series.values[first:]
    if len(floors) < FEWEST_FLOORS:
        return Judgement(
            verdict=Verdict.UNDECIDED,
            shape=None,
            evidence=f"Needs at least {FEWEST_FLOORS} floors after warm-up, got {len(floors)}.",
            times_longer=(FEWEST_FLOORS + 1) / max(1, len(floors)),
        )
    rise = floors[-1] - floors[0]
    increments = _increments(series, first)
    rises = sum(1 for one in increments if one > 0)
    if rises < _FEWEST_RISES or not _separated(floors):
        return _no_trend(series, first, increments)
    attribution = attribute(series, first)
    if _stopped(series, first):
        return _plateau(series, first, increments)
    early, late = _halves(series, first, attribution)
    if _late_over_early(early, late) < _slowing(rise) or slows(early, late):
        evidence = (
            f"Grew by {rise:,.0f} {series.resource.unit} in {rises} of {len(increments)} rounds, more slowly towards "
            "the end: filling up, or a leak that slows; more rounds decide it."
        )
        return Judgement(verdict=Verdict.UNDECIDED, shape=Shape.FILLING, evidence=evidence)
    falls = sum(1 for one in increments if one < 0)
    many = rise >= _FEWEST_PIECES and (drifts(increments, by_chance) or follows_a_line(floors, by_chance))
    doses = follows_the_doses(attribution, len(increments), by_chance)
    if not (many or doses or _chance(rises, falls) <= by_chance):
        evidence = (
            f"Grew by {rise:,.0f} {series.resource.unit} in {_rounds(rises)} and fell in {falls}: too few to tell from "
            "a count that wanders; a longer budget decides it."
        )
        return Judgement(verdict=Verdict.UNDECIDED, shape=None, evidence=evidence)
    return _leak(series, first, attribution, rises)


def _chance(rises: int, falls: int) -> float:
    """Probability of so many rises or more among so many moves if up and down are equally likely."""
    moves = rises + falls
    return float(sum(math.comb(moves, up) for up in range(rises, moves + 1)) / 2.0**moves)


def _increments(series: Series, first: int) -> list[float]:
    return [
        series.values[index] - series.values[index - 1]
        for index in range(first + 1, len(series.values))
        if index not in series.breaks
    ]


def _separated(floors: tuple[float, ...]) -> bool:
    third = len(floors) // 3
    return min(floors[-third:]) > max(floors[:third])


_Rounds = list[tuple[float, float]]
"""Growth and work of each."""


def _halves(series: Series, first: int, attribution: Attribution) -> tuple[_Rounds, _Rounds]:
    """Split the rounds into two halves, with the work that the growth belongs to."""
    owner = attribution.owner.cause if attribution.owner else ALL
    rounds = [
        (
            series.values[index] - series.values[index - 1],
            _work(series, index) if owner == ALL else work_of(series, index, owner),
        )
        for index in range(first + 1, len(series.values))
        if index not in series.breaks
    ]
    half = len(rounds) // 2
    return rounds[:half], rounds[half:]


def _late_over_early(early: _Rounds, late: _Rounds) -> float:
    """Compare the rates of the two halves, per unit of work."""
    rates = []
    for part in (early, late):
        growth, work = sum(one for one, _ in part), sum(done for _, done in part)
        rates.append(growth / work if work > 0 else 0.0)
    before, after = rates
    return after / before if before > 0 else math.inf


def _slowing(pieces: float) -> float:
    """Return the ratio of the halves' rates that a steady Poisson leak stays above in 97 % of runs, within bounds."""
    return min(_FASTEST, max(_SLOWEST, 1 - 4 / math.sqrt(pieces)))


def _work(series: Series, index: int) -> float:
    """Operations of a round, or its seconds where nothing was played in the whole run."""
    if any(map(sum, series.operations)):
        return float(sum(series.operations[index]))
    return series.seconds[index] - series.seconds[index - 1] if index else 0.0


def _since_last_rise(series: Series, first: int) -> tuple[int, float, float]:
    """Rounds with a rise, and the work up to the last of them and after it."""
    work, until, rises = 0.0, 0.0, 0
    for index in range(first + 1, len(series.values)):
        work += _work(series, index)
        if index not in series.breaks and series.values[index] > max(series.values[first:index]):
            rises, until = rises + 1, work
    return rises, until, work - until


def _stopped(series: Series, first: int) -> bool:
    rises, until, after = _since_last_rise(series, first)
    return until > 0 and math.exp(-rises * after / until) < _STOPPED


def _plateau(series: Series, first: int, increments: list[float]) -> Judgement:
    rise = sum(increments)
    rises, _, after = _since_last_rise(series, first)
    shape = Shape.STEP if rises == 1 else Shape.PLATEAU
    evidence = (
        f"Rose by {rise:,.0f} {series.resource.unit} in {_rounds(rises)} and then stayed: no "
        f"new high in the last {_amount(series, after)}."
    )
    detectable = _detectable(series, first, _SEEN_WITH_95_PERCENT, part=after)
    return Judgement(verdict=Verdict.CLEAN, shape=shape, evidence=evidence, detectable=detectable)


def _no_trend(series: Series, first: int, increments: list[float]) -> Judgement:
    floors = series.values[first:]
    low, high = min(floors), max(floors)
    total = sum(_work(series, index) for index in range(first + 1, len(floors) + first))
    if low == high:
        evidence = f"Stayed at {low:,.0f} {series.resource.unit} over {_amount(series, total)}."
        detectable = _detectable(series, first, _SEEN_WITH_95_PERCENT)
        return Judgement(verdict=Verdict.CLEAN, shape=Shape.FLAT, evidence=evidence, detectable=detectable)
    rises, _, after = _since_last_rise(series, first)
    drop = -min(increments, default=0.0)
    if rises and drop <= 0 and after < total / 4:
        return _late_rise(series, first, rises)
    if drop <= 0:
        return _plateau(series, first, increments)
    shape = Shape.SAWTOOTH if drop >= (high - low) / 2 else Shape.PLATEAU
    amount = _amount(series, total)
    evidence = f"Moved between {low:,.0f} and {high:,.0f} {series.resource.unit} over {amount} without a lasting rise."
    needed = max(_SEEN_WITH_95_PERCENT, 1.5 * (high - low))
    detectable = _detectable(series, first, needed)
    return Judgement(verdict=Verdict.CLEAN, shape=shape, evidence=evidence, detectable=detectable)


_POISSON_UPPER = {1: 4.74, 2: 6.30}
"""95 % upper bounds of a Poisson mean after 1 and 2 events (one-sided, exact)."""


def _late_rise(series: Series, first: int, rises: int) -> Judgement:
    """One or two rises, the last of them late: clean only down to what such a count leaves open."""
    rise = series.values[-1] - series.values[first]
    jump = rise / rises
    needed = jump * _POISSON_UPPER.get(rises, 2.0 * rises + 3.0)
    evidence = (
        f"Rose by {rise:,.0f} {series.resource.unit} in {_rounds(rises)}, the last one late: "
        "too few for a leak; a rarer one than stated is left open."
    )
    detectable = _detectable(series, first, max(needed, _SEEN_WITH_95_PERCENT))
    return Judgement(verdict=Verdict.CLEAN, shape=Shape.STEP, evidence=evidence, detectable=detectable)


def _leak(series: Series, first: int, attribution: Attribution, rises: int) -> Judgement:
    unit, rise = series.resource.unit, series.values[-1] - series.values[first]
    rounds = len(series.values) - 1 - first
    owner, rate = attribution.owner, attribution.rate(unit)
    timed = owner is not None and owner.cause is None
    operation = None if owner is None or owner.cause == ALL else owner.cause
    if rate is None:
        rate = _overall_rate(series, first)
    what = (
        "with time, quiet rounds too" if timed else f"with {operation}" if operation else "with the operations played"
    )
    evidence = (
        f"Grew by {rise:,.0f} {unit} in {rises} of {rounds} rounds, {what}, and gave none of the last third back."
    )
    return Judgement(
        verdict=Verdict.LEAK,
        shape=Shape.TIME_DRIVEN if timed else Shape.SLOPE,
        evidence=evidence,
        operation=operation,
        rate=rate,
        detectable=_detectable(series, first, _SEEN_WITH_95_PERCENT),
        suspects=attribution.shared(unit),
    )


def _overall_rate(series: Series, first: int) -> Rate:
    """Growth over all work together, with the Poisson interval of its size (normal approximation)."""
    rise = series.values[-1] - series.values[first]
    total = sum(_work(series, index) for index in range(first + 1, len(series.values)))
    wide = 1.96 * math.sqrt(max(rise, 1.0))
    per = Per.OPERATION if any(map(sum, series.operations)) else Per.SECOND
    return Rate(
        value=rise / total,
        low=max(0.0, rise - wide) / total,
        high=(rise + wide) / total,
        unit=series.resource.unit,
        per=per,
    )


def _detectable(series: Series, first: int, needed: float, part: float | None = None) -> Detectable | None:
    """Return the smallest rate seen with 95 % power: `needed` pieces over the operation that was played least.

    `part`: only so much of all the work counts.
    """
    columns = list(zip(*series.operations[first + 1 :], strict=True))
    totals = [sum(column) for column in columns if sum(column) > 0]
    if totals:
        everything = sum(totals)
        share = 1.0 if part is None else part / everything
        least = min(totals) * share
        return Detectable(value=needed / least, unit=series.resource.unit, per=Per.OPERATION) if least > 0 else None
    seconds = (series.seconds[-1] - series.seconds[first]) if part is None else part
    return Detectable(value=needed / seconds, unit=series.resource.unit, per=Per.SECOND) if seconds > 0 else None


def _rounds(count: int) -> str:
    return "1 round" if count == 1 else f"{count} rounds"


def _amount(series: Series, work: float) -> str:
    return f"{work:.0f} operations" if any(map(sum, series.operations)) else f"{work:.0f} s"
