"""Charts as inline SVG, from numbers alone: no script, no reference, legible at any width.

The drawing is stretched to the width it gets (strokes keep their width) while the labels are ordinary text beside
it: an SVG text would shrink with the chart on a phone. A dot is a stroke of no length with a round cap, about 9
bytes instead of 40, which is what keeps 60 charts under 200 KiB.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

from markupsafe import Markup, escape

from leakcheck.model.event import Phase
from leakcheck.render import figures
from leakcheck.render._axis import Axis, ticks
from leakcheck.render._curve import Curve, Fit, Point, thinned
from leakcheck.render._visible import visible

PLUGIN = False

_WIDTH, _HEIGHT = 1000, 300
_SPARK_WIDTH, _SPARK_HEIGHT = 240, 48
_LEAST_SPAN_OF_BYTES = 64 * 1024.0
_WIDEST_BAND = 0.25
"""Of the floors' own span, above and below: a very unsure rate must not flatten the floors; the rest is cut off."""
_LEAST_SPAN_OF_COUNTS = 4.0
"""A flat curve must look flat: less than this is never blown up to the full height."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """From the curve's numbers to the drawing's."""

    x0: float
    x1: float
    y0: float
    y1: float
    width: int
    height: int

    def x(self, value: float) -> int:
        return round((value - self.x0) / (self.x1 - self.x0) * self.width)

    def y(self, value: float) -> int:
        return round((self.y1 - value) / (self.y1 - self.y0) * self.height)

    def at(self, x: float, y: float) -> str:
        return f"{self.x(x)} {min(self.height, max(0, self.y(y)))}"


def chart(curve: Curve, label: str, most_points: int) -> Markup:
    """Draw one finding's curve with axes and legend; `label` is read out instead of the drawing."""
    points = thinned(curve.points, most_points)
    scale = _scale(curve, points, _WIDTH, _HEIGHT)
    y_ticks = figures.ticks(scale.y0, scale.y1, curve.unit)
    x_ticks = figures.ticks(scale.x0, scale.x1, "")
    layers = [_shade(curve, scale), _grid(scale, y_ticks), *_bands(curve.fits, scale), *_peaks(points, scale)]
    layers += [*_totals(points, scale), *_breaks(points, scale), *_lines(curve.fits, scale), *_dots(points, scale)]
    drawing = _svg(label, _WIDTH, _HEIGHT, "".join(layers))
    labels = [
        f'<i class=y style="top:{scale.y(tick) / _HEIGHT:.1%}">{figures.tick(tick, curve.unit)}</i>' for tick in y_ticks
    ]
    labels += [f'<i class=x style="left:{scale.x(tick) / _WIDTH:.1%}">{figures.tick(tick, "")}</i>' for tick in x_ticks]
    return Markup(
        "<figure class=chart><p class=unit>{}</p><div class=plot>{}<div aria-hidden=true>{}</div></div>{}</figure>"
    ).format(
        "" if curve.unit == "bytes" else visible(curve.unit, 80),
        drawing,
        Markup("".join(labels)),  # noqa: S704 - made of numbers only
        _legend(curve, points),
    )


def sparkline(curve: Curve, label: str, most_points: int) -> Markup:
    """Draw one curve without axes, for a table."""
    points = thinned(curve.points, most_points)
    scale = _scale(curve, points, _SPARK_WIDTH, _SPARK_HEIGHT)
    peaks = "".join(_peaks(points, scale))
    path = f'{peaks}<path class=fit d="{_path(points, scale)}"/>{_dot("main", points[-1:], scale)}'
    return _svg(label, _SPARK_WIDTH, _SPARK_HEIGHT, path)


def strip(curve: Curve, axis: Axis, looks: int, label: str) -> Markup:
    """Draw what a watch saw of one resource in the time of `axis`; its last `looks` points are not judged yet.

    Does not see: points outside that time; the line comes in from the last one before it.
    """
    points, looks = _within(curve.points, looks, axis)
    scale = replace(_scale(curve, points or curve.points[-1:], _WIDTH, _HEIGHT), x0=axis.start, x1=axis.end)
    few, more = (figures.ticks(scale.y0, scale.y1, curve.unit, about) for about in (3, 6))
    y_ticks = few if len(few) > 1 else more
    floors, latest = points[: len(points) - looks], points[-looks - 1 :] if looks else ()
    layers = [_grid(scale, y_ticks), *_marks(axis, scale), *_totals(points, scale), *_breaks(points, scale)]
    layers += [
        f'<path class={kind} d="{_path(part, scale)}"/>' for kind, part in (("fit", floors), ("look", latest)) if part
    ]
    layers.append(_dot("main", points[-1:], scale))
    labels = [
        f'<i class=y style="top:{scale.y(one) / _HEIGHT:.1%}">{figures.tick(one, curve.unit)}</i>' for one in y_ticks
    ]
    labels += [f'<i class=x style="left:{scale.x(x) / _WIDTH:.1%}">{words}</i>' for x, words in ticks(axis)]
    return Markup("<div class=plot>{}<div aria-hidden=true>{}</div></div>").format(
        _svg(label, _WIDTH, _HEIGHT, "".join(layers)),
        Markup("".join(labels)),  # noqa: S704 - made of numbers only
    )


def _within(points: tuple[Point, ...], looks: int, axis: Axis) -> tuple[tuple[Point, ...], int]:
    """The points in the axis' time, the first one on its edge where the line crosses it, and how many are looks."""
    inside = [index for index, point in enumerate(points) if axis.start <= point.x <= axis.end]
    if not inside:
        return (), 0
    kept = points[inside[0] : inside[-1] + 1]
    looks = max(0, min(looks - (len(points) - 1 - inside[-1]), len(kept)))
    if inside[0] == 0:
        return kept, min(looks, len(kept) - 1)
    before, after = points[inside[0] - 1], kept[0]
    share = (axis.start - before.x) / (after.x - before.x)
    y, total = (was + (now - was) * share for was, now in ((before.y, after.y), (before.total, after.total)))
    return (replace(before, x=axis.start, y=y, total=total, broken=False), *kept), looks


def _marks(axis: Axis, scale: _Scale) -> Iterable[str]:
    if axis.marks:
        yield f'<path class=mark d="{"".join(f"M{scale.x(one)} 0v{scale.height}" for one in axis.marks)}"/>'


def _svg(label: str, width: int, height: int, inside: str) -> Markup:
    # Only `label` may hold words; all else is drawn from numbers by this file.
    return Markup(  # noqa: S704
        f'<svg role=img aria-label="{escape(label)}" viewBox="0 0 {width} {height}" preserveAspectRatio=none>'
        f"<title>{escape(label)}</title>{inside}</svg>"
    )


def _scale(curve: Curve, points: tuple[Point, ...], width: int, height: int) -> _Scale:
    ys = [point.y for point in points] + [point.total for point in points]
    ys += [point.peak for point in points if point.peak is not None]
    ys += [end for fit in curve.fits for end in fit.line]
    low, high = min(ys), max(ys)
    reach = (high - low) * _WIDEST_BAND
    ends = [end for fit in curve.fits for end in (*fit.low, *fit.high)]
    low, high = (
        min([low, *(max(end, low - reach) for end in ends)]),
        max([high, *(min(end, high + reach) for end in ends)]),
    )
    least = max(_LEAST_SPAN_OF_BYTES, high * 0.02) if curve.unit == "bytes" else _LEAST_SPAN_OF_COUNTS
    if high - low < least:
        low, high = low - (least - high + low) / 2, high + (least - high + low) / 2
    if min(ys) >= 0 and (low < 0 or low < 0.35 * high):
        low, high = 0.0, max(high, least)
    margin = (high - low) * 0.07
    floor = 0.0 if low == 0 else low - margin
    xs = [point.x for point in points]
    span = (max(xs) - min(xs)) or 1.0
    left = 0.0 if 0 <= min(xs) < span * 0.3 else min(xs) - span * 0.03
    return _Scale(x0=left, x1=max(xs) + span * 0.02, y0=floor, y1=high + margin, width=width, height=height)


def _shade(curve: Curve, scale: _Scale) -> str:
    if curve.warm_up_end is None:
        return ""
    return f'<path class=warm d="M0 0H{scale.x(curve.warm_up_end)}V{scale.height}H0z"/>'


def _grid(scale: _Scale, ticks: Iterable[float]) -> str:
    lines = "".join(f"M0 {scale.y(tick)}h{scale.width}" for tick in ticks)
    return f'<path class=grid d="{lines}"/>'


def _bands(fits: Iterable[Fit], scale: _Scale) -> Iterable[str]:
    for fit in fits:
        (x0, x1), low, high = fit.x, fit.low, fit.high
        corners = (scale.at(x0, low[0]), scale.at(x1, low[1]), scale.at(x1, high[1]), scale.at(x0, high[0]))
        yield f'<path class=band d="M{"L".join(corners)}z"/>'


def _lines(fits: Iterable[Fit], scale: _Scale) -> Iterable[str]:
    for fit in fits:
        ends = (scale.at(fit.x[0], fit.line[0]), scale.at(fit.x[1], fit.line[1]))
        yield f'<path class=fit d="M{"L".join(ends)}"/>'


def _peaks(points: tuple[Point, ...], scale: _Scale) -> Iterable[str]:
    watched = [scale.at(point.x, point.peak) for point in points if point.peak is not None]
    if len(watched) > 1:
        yield f'<path class=peak d="M{"L".join(watched)}"/>'


def _totals(points: tuple[Point, ...], scale: _Scale) -> Iterable[str]:
    if _totals_differ(points, scale):
        yield f'<path class=total d="M{"L".join(scale.at(point.x, point.total) for point in points)}"/>'


def _totals_differ(points: tuple[Point, ...], scale: _Scale) -> bool:
    return any(abs(scale.y(point.total) - scale.y(point.y)) > 2 for point in points)


def _breaks(points: tuple[Point, ...], scale: _Scale) -> Iterable[str]:
    broken = "".join(f"M{scale.x((a.x + b.x) / 2)} 0v{scale.height}" for a, b in pairwise(points) if b.broken)
    if broken:
        yield f'<path class=break d="{broken}"/>'


def _dots(points: tuple[Point, ...], scale: _Scale) -> Iterable[str]:
    early = [point for point in points if point.phase in {Phase.PILOT, Phase.WARM_UP}]
    quiet = [point for point in points if point.phase is Phase.QUIET]
    yield _dot("early", early, scale)
    yield _dot("main", [point for point in points if point.phase is Phase.MAIN], scale)
    yield _dot("quiet", quiet, scale)
    yield _dot("hole", quiet, scale)


def _dot(kind: str, points: Iterable[Point], scale: _Scale) -> str:
    places = "".join(f"M{scale.at(point.x, point.y)}h0" for point in points)
    return f'<path class="dot {kind}" d="{places}"/>' if places else ""


def _path(points: tuple[Point, ...], scale: _Scale) -> str:
    """One line through the points, lifted at breaks."""
    pieces = [f"M{scale.at(points[0].x, points[0].y)}"]
    pieces += [f"{'M' if b.broken else 'L'}{scale.at(b.x, b.y)}" for _, b in pairwise(points)]
    return "".join(pieces)


def _legend(curve: Curve, points: tuple[Point, ...]) -> Markup:
    scale = _scale(curve, points, _WIDTH, _HEIGHT)
    phases = {point.phase for point in points}
    entries = [("main", "floor after each round")] if Phase.MAIN in phases else []
    entries += [("fit", "fitted rate, 95 % interval")] if curve.fits else []
    entries += [("warm", "warm-up, not judged")] if curve.warm_up_end is not None else []
    entries += [("quiet", "quiet round, no load")] if Phase.QUIET in phases else []
    entries += [("break", "a process was replaced")] if any(point.broken for point in points) else []
    entries += [("peak", "highest under load")] if any(point.peak is not None for point in points) else []
    entries += [("total", "whole tree, births and deaths included")] if _totals_differ(points, scale) else []
    keys = Markup("").join(Markup('<span><b class="key {}"></b>{}</span>').format(*entry) for entry in entries)
    axis = Markup("<span class=axis>{}</span>").format(_axis(curve.x_unit))
    return Markup("<figcaption>{}{}</figcaption>").format(axis, keys)


def _axis(x_unit: str) -> str:
    if x_unit == "seconds":
        return "seconds since it was ready"
    return "operations played" if x_unit == "operations" else f"{visible(x_unit, 200)} played"
