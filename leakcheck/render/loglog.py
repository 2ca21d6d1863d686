"""A quantity against size as inline SVG, both axes logarithmic: a line for each variant, claims as bars.

Stretched to the width it gets, labels are text beside it, as in `chart`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from leakcheck.model.sweep import Cell, Claim, Origin, SweepSeries
from leakcheck.render import figures
from leakcheck.render._sweep_words import figure

PLUGIN = False

_WIDTH, _HEIGHT = 1000, 400
_STEPS = (1, 10, 100)
MOST_COLOURS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """From logarithms to the drawing's numbers."""

    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> int:
        return round((math.log10(value) - self.x0) / (self.x1 - self.x0) * _WIDTH)

    def y(self, value: float) -> int:
        place = round((self.y1 - math.log10(value)) / (self.y1 - self.y0) * _HEIGHT)
        return min(_HEIGHT, max(0, place))


def picture(
    series: Sequence[tuple[int, SweepSeries]], claims: Sequence[tuple[int, Claim]], label: str
) -> Markup | None:
    """Draw series, each with the number of its variant's colour; `label` is read out instead of the drawing.

    None where fewer than two positive figures are there. Zero and less have no place on the scale and are left out.
    Does not see: intervals wider than the drawing, which are cut off.
    """
    drawn = [(colour, one, [cell for cell in one.cells if cell.value]) for colour, one in series]
    values = [(cell.size, cell.value) for _, _, cells in drawn for cell in cells if cell.value]
    if len(values) < 2:
        return None
    unit = series[0][1].unit
    bases = [(colour, one.growth.base) for colour, one, _ in drawn if one.growth and one.growth.base > 0]
    heights = (
        [value for _, value in values]
        + [base for _, base in bases]
        + [end for _, claim in claims for end in (claim.low, claim.high)]
    )
    sizes = [size for size, _ in values] + [claim.size for _, claim in claims]
    scale = _scale(sizes, heights)
    layers = [_grid(scale, sizes, unit)]
    layers += [f'<path class="base v{colour}" d="M0 {scale.y(base)}h{_WIDTH}"/>' for colour, base in bases]
    layers += [_claim(scale, colour, claim) for colour, claim in claims]
    for colour, _, cells in drawn:
        layers += _line(scale, colour, cells)
    labels = [
        f'<i class=y style="top:{scale.y(tick) / _HEIGHT:.1%}">{text}</i>' for tick, text in _y_ticks(scale, unit)
    ]
    labels += [
        f'<i class=x style="left:{scale.x(tick) / _WIDTH:.1%}">{figures.tick(tick, "")}</i>' for tick in _x_ticks(sizes)
    ]
    return Markup("<div class=plot>{}<div aria-hidden=true>{}</div></div>").format(
        Markup(  # noqa: S704 - only `label` may hold words; all else is drawn from numbers by this file
            f'<svg role=img aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio=none>'
            f"<title>{escape(label)}</title>{''.join(layers)}</svg>"
        ),
        Markup("".join(labels)),  # noqa: S704 - made of numbers only
    )


def _scale(sizes: Sequence[float], heights: Sequence[float]) -> _Scale:
    x0, x1 = math.log10(min(sizes)), math.log10(max(sizes))
    y0, y1 = math.log10(min(heights)), math.log10(max(heights))
    across, up = max(x1 - x0, 0.3), max(y1 - y0, 1.0)
    middle = (y0 + y1) / 2
    return _Scale(x0=x0 - 0.04 * across, x1=x1 + 0.04 * across, y0=middle - 0.56 * up, y1=middle + 0.56 * up)


def _grid(scale: _Scale, sizes: Iterable[float], unit: str) -> str:
    lines = "".join(f"M0 {scale.y(tick)}h{_WIDTH}" for tick, _ in _y_ticks(scale, unit))
    lines += "".join(f"M{scale.x(tick)} 0v{_HEIGHT}" for tick in _x_ticks(sizes))
    return f'<path class=grid d="{lines}"/>'


def _line(scale: _Scale, colour: int, cells: Sequence[Cell]) -> Iterator[str]:
    known = [cell for cell in cells if cell.origin is Origin.MEASURED]
    beyond = [cell for cell in cells if cell.origin is Origin.PROJECTED]
    yield _path(scale, "fit", colour, known)
    last = [cell for cell in known if beyond and cell.size < beyond[0].size][-1:]
    yield _path(scale, "far", colour, [*last, *beyond])
    ends = "".join(
        f"M{scale.x(cell.size)} {scale.y(max(cell.low, 1e-12))}V{scale.y(cell.high)}"
        for cell in cells
        if cell.low is not None and cell.high is not None and cell.high > cell.low
    )
    if ends:
        yield f'<path class="ends v{colour}" d="{ends}"/>'
    for kind, some in (("", known), (" hole", beyond)):
        dots = "".join(f"M{scale.x(cell.size)} {scale.y(cell.value or 1)}h0" for cell in some)
        if dots:
            yield f'<path class="dot v{colour}" d="{dots}"/>'
        if dots and kind:
            yield f'<path class="dot hole" d="{dots}"/>'


def _path(scale: _Scale, kind: str, colour: int, cells: Sequence[Cell]) -> str:
    if len(cells) < 2:
        return ""
    return (
        f'<path class="{kind} v{colour}" d="M{"L".join(f"{scale.x(c.size)} {scale.y(c.value or 1)}" for c in cells)}"/>'
    )


def _claim(scale: _Scale, colour: int, claim: Claim) -> str:
    top, bottom = scale.y(claim.high), scale.y(claim.low)
    return f'<path class="claim v{colour}" d="M{scale.x(claim.size)} {min(top, bottom - 8)}V{bottom}"/>'


def _x_ticks(sizes: Iterable[float]) -> tuple[float, ...]:
    """Where something was measured or claimed; those that stand apart enough to be read."""
    kept: list[float] = []
    every = sorted(set(sizes))
    across = math.log10(every[-1] / every[0]) or 1.0
    for size in every:
        if not kept or math.log10(size / kept[-1]) > 0.09 * across:
            kept.append(size)
    return tuple(kept)


def _y_ticks(scale: _Scale, unit: str) -> tuple[tuple[float, str], ...]:
    """Powers of ten of the unit; of bytes 1, 10 and 100 of each prefix; with 2 and 5 between where they are few."""
    low, high = 10**scale.y0, 10**scale.y1
    every = [1024.0**power * step for power in range(6) for step in _STEPS] if unit == "bytes" else []
    every = every or [10.0**power for power in range(-9, 16)]
    found = [tick for tick in every if low <= tick <= high]
    if len(found) < 3:
        found = sorted(tick * part for tick in every for part in (1, 2, 5) if low <= tick * part <= high)
    return tuple((tick, figure(tick, unit)) for tick in found)
