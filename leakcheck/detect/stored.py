"""The rule for stored data: what a round adds and its undoing calls give back is neither leak nor noise."""

from __future__ import annotations

from dataclasses import replace

from leakcheck.detect import Judgement, amount
from leakcheck.detect.attribution import attribute
from leakcheck.model.finding import Shape, Verdict
from leakcheck.model.series import Series

_FEWEST_ROUNDS = 4
_GIVEN_BACK = 0.9
"""Share of what the rounds stored that must be gone at the floor."""


def name_stored(judgement: Judgement, series: Series, first: int) -> Judgement:
    """Turn a clean judgement into `stored` where each round added and its undoing calls gave back.

    Needs the readings between load and undoing; without them the judgement is returned as it is. Does not see:
    storage that a process keeps after the data is gone (that is a plateau).
    """
    if judgement.verdict is not Verdict.CLEAN or not series.before_undo:
        return judgement
    rounds = [
        index
        for index in range(max(first, 1), len(series.values))
        if index not in series.breaks and any(series.operations[index])
    ]
    added = [series.before_undo[index] - series.totals[index - 1] for index in rounds]
    back = [series.before_undo[index] - series.totals[index] for index in rounds]
    if len(rounds) < _FEWEST_ROUNDS or min(added) <= 0 or sum(back) < _GIVEN_BACK * sum(added):
        return judgement
    grown = [0.0]
    for one in added:
        grown.append(grown[-1] + one)
    kept = replace(
        series,
        values=tuple(grown),
        totals=tuple(grown),
        operations=(series.operations[rounds[0] - 1], *(series.operations[index] for index in rounds)),
        seconds=tuple(float(index) for index in range(len(grown))),
        breaks=(),
        peaks=(),
        before_undo=(),
    )
    owner = attribute(kept, 0)
    rate = owner.rate(series.resource.unit)
    per = f"{amount(rate.value, rate.unit)} per {owner.owner.cause}" if rate and owner.owner else "an amount"
    return replace(
        judgement,
        shape=Shape.STORED,
        operation=owner.owner.cause if owner.owner else None,
        rate=rate,
        evidence=f"Stored data: {per} stored, and {sum(back) / sum(added):.0%} of it given back by the undoing calls.",
    )
