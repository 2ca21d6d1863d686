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


def amount(value: float, unit: str) -> str:
    """Write an amount for a sentence: bytes in the largest binary unit that fits, whole numbers without decimals."""
    if unit != "bytes":
        return f"{value:,.0f} {unit}" if value == round(value) else f"{value:.3g} {unit}"
    if abs(value) < 1024:
        return f"{value:.0f} B"
    return f"{value / 1024:.3g} KiB" if abs(value) < 1 << 20 else f"{value / (1 << 20):,.3g} MiB"
