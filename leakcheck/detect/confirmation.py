"""The rule for fresh rounds: they confirm a leak and who causes it, or take the accusation back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from leakcheck.detect import Judgement, amount
from leakcheck.detect.attribution import work_of
from leakcheck.detect.slowing import NEARLY_AS_FAST, slows
from leakcheck.model.finding import Per, Shape, Verdict
from leakcheck.model.kinds import ALL, without_era
from leakcheck.model.series import Series

_FEWEST_ROUNDS = 3
_FEWEST_PIECES = 4.0
"""Expected of a count: a Poisson count of this mean is 0 in 2 % of runs."""
_NOISES = 3.0
"""Standard deviations of what the judged rounds leave unexplained: less growth than this tells nothing."""
_SEEN = 0.5
"""Share of the expected growth above which it is there, below which it is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grown:
    """What some rounds did."""

    rounds: int
    operations: float
    growth: float


def confirm(judgement: Judgement, series: Series, first: int, begin: int) -> Judgement:
    """Weigh a leak's cause against rounds of it alone and rounds of all but it.

    `series` covers all floors; those from `first` to before `begin` were judged, and from `begin` on come the rounds in
    which one suspected operation was played alone, or all but the suspected ones. Growth in both, or in the first only,
    confirms; growth in the others only clears the operation; growth in neither, or more slowly than at first, may be a
    bound that is near, which is undecided. A leak of all operations, or of time, must go on in all the fresh rounds
    together; where several share it, it is told what each did alone. Anything but a leak is returned as it is, and so
    is one of which too little was played afresh to tell.

    Does not see: a cause that acts only together with others.
    """
    cause, rate = judgement.operation, judgement.rate
    if judgement.verdict is not Verdict.LEAK or rate is None:
        return judgement
    rounds = [index for index in range(begin, len(series.values)) if index not in series.breaks]
    if cause is None:
        return _goes_on(_each_told(judgement, series, rounds), series, first, begin)
    only = [index for index in rounds if work_of(series, index, cause) == sum(series.operations[index])]
    alone = _grown(series, only)
    others = _grown(series, [index for index in rounds if work_of(series, index, cause) == 0])
    noise = _noise(series, first, begin, cause, rate.value) * math.sqrt(max(1, alone.rounds))
    expected = rate.value * alone.operations
    least = max(_NOISES * noise, 0.0 if rate.unit == "bytes" else _FEWEST_PIECES)
    if alone.rounds < _FEWEST_ROUNDS or expected < least:
        return judgement
    by_others = others.rounds > 0 and others.growth > max(least, _SEEN * expected * others.rounds / alone.rounds)
    told = f"{_told(alone, rate.unit)} of {cause} alone"
    if others.rounds:
        told += f", {_told(others, rate.unit)} of the others"
    judged = [index for index in range(first + 1, begin) if index not in series.breaks]
    early = _with_work(series, judged[: len(judged) // 2], cause)
    is_less = alone.growth < NEARLY_AS_FAST * expected  # else the early rounds only had growth of other causes too
    slowed = rate.unit != "bytes" and is_less and slows(early, _with_work(series, only, cause))
    what = "slowed" if alone.growth > 0 else "stopped"
    by_it = alone.growth >= _SEEN * expected and not slowed
    return _weighed(judgement, told, what, by_it=by_it, by_others=by_others)


def _with_work(series: Series, rounds: Sequence[int], cause: str) -> list[tuple[float, float]]:
    return [(series.values[index] - series.values[index - 1], work_of(series, index, cause)) for index in rounds]


def _weighed(judgement: Judgement, told: str, what: str, *, by_it: bool, by_others: bool) -> Judgement:
    if by_it:
        words = "Confirmed" if not by_others else "Confirmed, though not the only cause"
        return replace(judgement, evidence=f"{judgement.evidence} {words}: {told}.")
    if by_others:
        evidence = f"{judgement.evidence} {judgement.operation} alone does not cause it: {told}."
        return replace(judgement, evidence=evidence, operation=None)
    evidence = f"{judgement.evidence} Then it {what}: {told}. A bound may be near; a longer budget decides it."
    return replace(judgement, verdict=Verdict.UNDECIDED, shape=Shape.FILLING, evidence=evidence)


def _goes_on(judgement: Judgement, series: Series, first: int, begin: int) -> Judgement:
    """Take back a leak of no single operation that did not go on in fresh rounds."""
    rate = judgement.rate
    if rate is None or begin >= len(series.values):
        return judgement
    work = sum(_all_work(series, index, rate.per) for index in range(begin, len(series.values)))
    before = sum(_all_work(series, index, rate.per) for index in range(first + 1, begin))
    growth = series.values[-1] - series.values[begin - 1]
    expected = (series.values[begin - 1] - series.values[first]) / before * work if before else 0.0
    if expected < (0.0 if rate.unit == "bytes" else _FEWEST_PIECES) or growth >= _SEEN * expected:
        return judgement
    evidence = (
        f"{judgement.evidence} Then it slowed: {amount(growth, rate.unit)} more in fresh rounds, where "
        f"{amount(expected, rate.unit)} were to be expected. A bound may be near; a longer budget decides it."
    )
    return replace(judgement, verdict=Verdict.UNDECIDED, shape=Shape.FILLING, evidence=evidence)


def _all_work(series: Series, index: int, per: Per) -> float:
    return work_of(series, index, ALL if per is Per.OPERATION else None)


def _each_told(judgement: Judgement, series: Series, rounds: Sequence[int]) -> Judgement:
    """Add what each suspect of a shared leak did alone, and what came without any of them."""
    suspects = [suspect.holder for suspect in judgement.suspects if suspect.holder in series.kinds]
    told = []
    for holder in dict.fromkeys(map(without_era, suspects)):
        alone = _grown(series, [one for one in rounds if work_of(series, one, holder) == sum(series.operations[one])])
        if alone.rounds >= _FEWEST_ROUNDS:
            told.append(f"{_told(alone, series.resource.unit)} of {holder} alone")
    if not told:
        return judgement
    return replace(judgement, evidence=f"{judgement.evidence} Played apart: {', '.join(told)}.")


def _grown(series: Series, rounds: Sequence[int]) -> _Grown:
    played = [index for index in rounds if sum(series.operations[index])]
    return _Grown(
        rounds=len(played),
        operations=sum(work_of(series, index, ALL) for index in played),
        growth=sum(series.values[index] - series.values[index - 1] for index in played),
    )


def _noise(series: Series, first: int, begin: int, cause: str, rate: float) -> float:
    """Standard deviation of what a judged round's growth differs by from what the cause explains."""
    left = [
        series.values[index] - series.values[index - 1] - rate * work_of(series, index, cause)
        for index in range(first + 1, begin)
        if index not in series.breaks
    ]
    return math.sqrt(sum(one * one for one in left) / max(1, len(left)))


def _told(grown: _Grown, unit: str) -> str:
    return f"{amount(grown.growth, unit)} more with {grown.operations:,.0f}"
