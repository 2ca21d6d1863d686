"""The rule for the quiet phase at the end: what comes back by itself, without load, was not leaked."""

from __future__ import annotations

from dataclasses import replace

from leakcheck.detect import Judgement, amount
from leakcheck.model.finding import Shape, Verdict
from leakcheck.model.series import Series

_NOTHING = 0.03
"""Share of the growth that may come back without telling anything: a connection that was closed, a page given back."""
_FEWEST_PIECES = 3.0
_ALL = 0.9
_MOST = 0.5
"""A part that came back beside a leak: up to here, and only if no more comes."""
_STILL = 0.02
"""Share of the growth, by which the later half of the quiet phase may still fall and count as over."""


def weigh_idle(judgement: Judgement, series: Series, first: int, begin: int) -> Judgement:
    """Weigh a leak against the floors from `begin` on, at which nothing had been played any more.

    Nothing came back: it stands. Nearly all came back: it is clean, held for a time only. A part came back and then no
    more: the rest stands. A part, and it still falls: undecided. Anything but a leak is returned as it is, and so is
    growth by time, which goes on in such a phase.

    Does not see: what is given back later than the phase lasts.
    """
    if judgement.verdict is not Verdict.LEAK or len(series.values) <= begin or begin < 1:
        return judgement
    if judgement.shape is Shape.TIME_DRIVEN:
        return judgement
    before, after = series.values[begin - 1], series.values[-1]
    grown, back = before - series.values[first], before - after
    seconds, unit = series.seconds[-1] - series.seconds[begin - 1], series.resource.unit
    least = max(_NOTHING * grown, 0.0 if unit == "bytes" else _FEWEST_PIECES)
    within = f"within {seconds:.0f} s without load"
    if grown <= 0 or back < least:
        return replace(judgement, evidence=f"{judgement.evidence} Nothing of it came back {within}.")
    told = f"{amount(back, unit)} of {amount(grown, unit)} came back {within}"
    if back >= _ALL * grown:
        evidence = f"Grew under load, and {told}: held for a time, not for ever."
        return replace(
            judgement, verdict=Verdict.CLEAN, shape=Shape.SAWTOOTH, evidence=evidence, rate=None, suspects=()
        )
    middle = series.values[begin + (len(series.values) - begin) // 2]
    if back <= _MOST * grown and middle - after <= _STILL * grown:
        return replace(judgement, evidence=f"{judgement.evidence} {told}, and then no more.")
    evidence = f"{judgement.evidence} But {told}: a longer budget tells whether the rest does too."
    return replace(judgement, verdict=Verdict.UNDECIDED, shape=Shape.SAWTOOTH, evidence=evidence)
