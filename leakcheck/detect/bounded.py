"""The rule for what has a bound: a container that fills up to it is no leak, and one that passed it has none."""

from __future__ import annotations

from dataclasses import replace

from leakcheck.detect import Judgement
from leakcheck.model.finding import Shape, Verdict
from leakcheck.model.series import Series

_PASSED = 1.05
"""Of the bound: a container that holds more is not kept to it; some are trimmed only when they are a little over."""
_FULL = 0.98


def heed_bound(judgement: Judgement, series: Series) -> Judgement:
    """Take a growing count that has a bound for what it is: filling, or full.

    A known bound that holds makes it clean, and says when it will be full. A bound that the code keeps, at a value
    that could not be read, makes it undecided. One that was passed changes nothing.

    Does not see: whether the bound is low enough for the machine.
    """
    resource, held = series.resource, series.totals[-1]
    if judgement.verdict not in {Verdict.LEAK, Verdict.UNDECIDED} or not resource.bound_by:
        return judgement
    if series.bound is None:
        if judgement.verdict is Verdict.UNDECIDED:
            return judgement
        evidence = f"{judgement.evidence} Its code bounds it ({resource.bound_by}), at a value that could not be read."
        return replace(judgement, verdict=Verdict.UNDECIDED, shape=Shape.FILLING, evidence=evidence)
    if held > _PASSED * series.bound:
        passed = f"{held:,.0f} of {series.bound:,.0f}"
        return replace(judgement, evidence=f"{judgement.evidence} Its bound ({resource.bound_by}) is passed: {passed}.")
    what = f"{held:,.0f} of {series.bound:,.0f} {resource.unit} ({resource.bound_by})"
    if held >= _FULL * series.bound:
        return _bounded(judgement, Shape.PLATEAU, f"Full, and bounded: {what}.")
    return _bounded(judgement, Shape.FILLING, f"Filling up to its bound: {what}{_when_full(judgement, series)}.")


def _bounded(judgement: Judgement, shape: Shape, evidence: str) -> Judgement:
    return replace(judgement, verdict=Verdict.CLEAN, shape=shape, evidence=evidence, rate=None, suspects=())


def _when_full(judgement: Judgement, series: Series) -> str:
    rate = judgement.rate
    if rate is None or rate.value <= 0 or series.bound is None:
        return ""
    left = (series.bound - series.totals[-1]) / rate.value
    return f", full after {left:,.0f} more {judgement.operation or rate.per.value + 's'}"
