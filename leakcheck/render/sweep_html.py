"""A sweep as one HTML file: offline, without script, claims first, then pictures, then all figures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup

from leakcheck.model.sweep import ClaimVerdict, Outcome, Sweep, SweepSeries
from leakcheck.render import _sweep_words as words
from leakcheck.render import loglog
from leakcheck.render.html import template

PLUGIN = False
FILE = "sweep.html"
LARGEST = 300 * 1024
"""Bytes of a page, as a mail or a CI artefact."""
TONES = {
    ClaimVerdict.CONFIRMED: "clean",
    ClaimVerdict.UNDERSTATED: "leak",
    ClaimVerdict.OVERSTATED: "leak",
    ClaimVerdict.WRONG_SHAPE: "leak",
    ClaimVerdict.NOT_MEASURED: "not_judged",
}
_MOST_ROWS = (400, 120, 40, 12)
_MOST_TEXT = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    title: str
    drawing: Markup
    variants: tuple[tuple[int, str], ...]
    """Colour and name of those that are drawn."""
    claimed: bool
    projected: bool
    based: bool
    """The empty servers are drawn too."""


def render(sweep: Sweep) -> bytes:
    """Give the page. Where it would be above 300 KiB, long tables are cut; sweep.json has the rest."""
    page = b""
    for most in _MOST_ROWS:
        page = (
            template("sweep.html.jinja", _MOST_TEXT)
            .render(
                sweep=sweep,
                pictures=tuple(_pictures(sweep)),
                most=most,
                others=_others(sweep),
                tone=_tone(sweep),
                words=words,
                tones=TONES,
            )
            .encode()
        )
        if len(page) <= LARGEST:
            break
    return page


def _tone(sweep: Sweep) -> str:
    if any(TONES[one.verdict] == "leak" for one in sweep.claims):
        return "leak"
    if any(point.outcome is not Outcome.DONE for point in sweep.points) or sweep.ended != "finished":
        return "undecided"
    return "clean" if sweep.claims else "not_judged"


def _pictures(sweep: Sweep) -> Iterator[_Picture]:
    colours = {one.name: index % loglog.MOST_COLOURS for index, one in enumerate(sweep.variants)}
    seeded = any("{size}" in word for variant in sweep.variants for word in variant.command)
    extra = [one.quantity for variant in sweep.variants for one in words.main_series(sweep, variant.name)]
    for name in dict.fromkeys((*words.DRAWN, *(name for name in extra if name not in words.TITLES))):
        series = [one for one in sweep.series if one.quantity == name and any(cell.value for cell in one.cells)]
        claims = [one.claim for one in sweep.claims if one.claim.quantity == name and one.claim.unit == _unit(series)]
        if name == "seconds.ready" and not seeded:
            continue
        label = f"{words.title(name)} against the number of items, both axes logarithmic"
        drawing = (
            loglog.picture(
                [(colours[one.variant], one) for one in series], [(colours[one.variant], one) for one in claims], label
            )
            if series
            else None
        )
        if drawing is not None:
            yield _Picture(
                title=words.title(name),
                drawing=drawing,
                variants=tuple((colours[one.variant], one.variant) for one in series),
                claimed=bool(claims),
                based=any(one.growth is not None and one.growth.base > 0 for one in series),
                projected=any(cell.origin.value == "projected" for one in series for cell in one.cells),
            )


def _unit(series: list[SweepSeries]) -> str:
    return series[0].unit if series else ""


def _others(sweep: Sweep) -> dict[str, tuple[SweepSeries, ...]]:
    """The quantities of each variant that its first table does not show."""
    found = {}
    for variant in sweep.variants:
        first = {one.quantity for one in words.main_series(sweep, variant.name)}
        found[variant.name] = tuple(
            one for one in sweep.series if one.variant == variant.name and one.quantity not in first
        )
    return found
