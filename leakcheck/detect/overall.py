"""From findings to one verdict."""

from __future__ import annotations

from collections.abc import Iterable

from leakcheck.model.finding import Finding, Verdict


def overall(findings: Iterable[Finding], required: frozenset[str]) -> Verdict:
    """Return LEAK if any finding is; else UNDECIDED if a required resource is undecided or could not be judged.

    Else CLEAN; NOT_JUDGED when nothing could be judged at all.
    """
    everything = tuple(findings)
    verdicts = {finding.verdict for finding in everything}
    if Verdict.LEAK in verdicts:
        return Verdict.LEAK
    judged = {finding.resource for finding in everything if finding.verdict is not Verdict.NOT_JUDGED}
    if not judged:
        return Verdict.NOT_JUDGED
    if Verdict.UNDECIDED in verdicts or required - judged:
        return Verdict.UNDECIDED
    return Verdict.CLEAN
