"""The rule for what outlives its server: copies that were started, used and ended in one way each."""

from __future__ import annotations

from collections.abc import Sequence

from leakcheck.detect import Judgement
from leakcheck.model.finding import Detectable, Per, Rate, Shape, Suspect, Verdict


def judge_leftovers(counts: Sequence[int], names: Sequence[str], unit: str, operation: str) -> Judgement:
    """Judge how many pieces each copy left behind; every copy that left one is a fact, no statistic is needed.

    LEAK when all or most copies left something; UNDECIDED when only a few of several did (an end that was slower
    than the grace time looks the same); CLEAN down to the rate that so many copies without one leave open (95 %:
    1 − 0.05^(1/n) copies).

    Does not see: what a copy leaves outside its own process tree and temporary folder.
    """
    copies = len(counts)
    if not copies:
        evidence = "No copy was ended in this way."
        return Judgement(verdict=Verdict.NOT_JUDGED, shape=None, evidence=evidence, operation=operation)
    leaving = sum(1 for count in counts if count)
    mean = sum(counts) / copies
    if not leaving:
        open_rate = 1 - 0.05 ** (1 / copies)
        return Judgement(
            verdict=Verdict.CLEAN,
            shape=Shape.FLAT,
            evidence=f"{copies} copies ended and left nothing behind.",
            operation=operation,
            detectable=Detectable(value=open_rate, unit=unit, per=Per.OPERATION),
        )
    distinct = sorted(set(names))
    suspects = tuple(
        Suspect(holder=name, proof=f"left {names.count(name)} times by {copies} {'copy' if copies == 1 else 'copies'}")
        for name in distinct[:5]
    )
    evidence = f"{leaving} of {copies} copies left something behind: {', '.join(distinct[:3])}."
    leak = 2 * leaving > copies
    return Judgement(
        verdict=Verdict.LEAK if leak else Verdict.UNDECIDED,
        shape=None,
        evidence=evidence,
        operation=operation,
        rate=Rate(value=mean, low=float(min(counts)), high=float(max(counts)), unit=unit, per=Per.OPERATION),
        suspects=suspects,
    )
