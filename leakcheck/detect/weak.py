"""The rule that takes back a weak leak: where the audit itself went wrong, only a strong one stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from leakcheck.detect import Judgement
from leakcheck.model.finding import Verdict
from leakcheck.model.series import Series

_STRONG = 0.5
"""Low end of the rate's interval, as a share of the rate, from which on a leak is strong…"""
_MANY = 12
"""…and rounds in which it rose."""


def withdraw(judgement: Judgement, series: Series, first: int, troubles: Sequence[str]) -> Judgement:
    """Take back a leak that is weak, for the `troubles` that the audit had; a strong one stands, whatever they are.

    Strong is a rate whose interval keeps to half of it and above, over at least a dozen rounds that rose.

    Does not see: trouble that the audit did not notice.
    """
    rate = judgement.rate
    if judgement.verdict is not Verdict.LEAK or rate is None or not troubles:
        return judgement
    used = [index for index in range(first + 1, len(series.values)) if index not in series.breaks]
    rises = sum(1 for index in used if series.values[index] > series.values[index - 1])
    if rate.low >= _STRONG * rate.value and rises >= _MANY:
        return judgement
    evidence = f"{judgement.evidence} Too weak to stand, because {'; '.join(troubles)}."
    return replace(judgement, verdict=Verdict.UNDECIDED, evidence=evidence)
