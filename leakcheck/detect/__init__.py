"""One file per decision rule: pure functions of numbers, untouched by the operating system.

`counts` exact integers · `levels` noisy memory · `attribution` which operation the growth belongs to · `confirmation`
what fresh rounds say · `idle` what comes back without load · `bounded` what fills up to a bound · `explained` memory
that such a container holds · `pages` resident memory beside the view from inside · `stored` what undoing gives back ·
`abandoned` sessions left behind · `weak` what takes a leak back · `leftovers` what outlived its server · `overall` from
findings to one verdict.
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
    times_longer: float = 2.0
    """How many times as many judged rounds would decide it, where it is undecided."""


def amount(value: float, unit: str) -> str:
    """Write an amount for a sentence: bytes in the largest binary unit that fits, whole numbers without decimals."""
    if unit != "bytes":
        return f"{value:,.0f} {unit}" if value == round(value) else f"{value:.3g} {unit}"
    if abs(value) < 1024:
        return f"{value:.0f} B"
    return f"{value / 1024:.3g} KiB" if abs(value) < 1 << 20 else f"{value / (1 << 20):,.3g} MiB"
