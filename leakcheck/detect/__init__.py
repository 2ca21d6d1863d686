"""One file per decision rule: pure functions of numbers, untouched by the operating system.

`attribution` which operation the growth belongs to · `counts` exact integers · `levels` noisy memory ·
`leftovers` what outlived its server · `overall` from findings to one verdict.
"""

from __future__ import annotations

from dataclasses import dataclass

from leakcheck.model.finding import Detectable, Rate, Shape, Suspect, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a rule concludes of one series."""

    verdict: Verdict
    shape: Shape | None
    evidence: str
    """One sentence."""
    operation: str | None = None
    rate: Rate | None = None
    detectable: Detectable | None = None
    suspects: tuple[Suspect, ...] = ()
