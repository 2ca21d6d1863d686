"""The load as three small charts: inline SVG, from numbers alone, in the elements that a watch's charts are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from loadtests.load_history import History, Point

_WIDTH, _HEIGHT = 1000, 300
_RATES = 100
"""That are told apart in one chart: more of them would paint it black."""
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
"""Seconds between two places that are named on the axis, about four of them: those of a watch's charts."""
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    key: str
    title: str
    unit: str
    """Of a single value, after its number."""
    value: Callable[[Point], float]


_PANELS = (
    _Panel(key="users", title="Users", unit="users", value=lambda point: point.users),
    _Panel(key="requests", title="Requests", unit="a second", value=lambda point: point.requests),
    _Panel(key="failures", title="Failures", unit="a second", value=lambda point: point.failures),
)


def panels(history: History, now: float, least_seconds: float) -> str:
    """Draw users, requests and failures a second over the history's window, at `now` in Unix seconds, as HTML.

    Each rate is taken over `least_seconds` and a hundredth of the window or more. Does not see: which requests failed,
    and how long they took.
    """
    start, end = history.window(now)
    points = list(history.points(start, end, max(least_seconds, (end - start) / _RATES)))
    run = history.runs[-1] if history.runs else None
    marks = [one for one in (run.began, run.ended) if one is not None] if run else []
    zero = run.began if run else start
    drawn = "".join(_panel(one, points, (start, end), zero, marks) for one in _PANELS)
    return f"<div class=cards>{drawn}</div>"


def length(seconds: float) -> str:
    """`0`, `30 s`, `5 min`, `−10 s`: a time in seconds, told in the largest unit that gives a whole number.

    Does not see: fractions of a second.
    """
    if seconds == 0:
        return "0"
    size, name = next((size, name) for size, name in _UNITS if seconds % size == 0 or size == 1)
    return f"{seconds / size:,.0f} {name}".replace("-", "−")


def _panel(
    panel: _Panel, points: Sequence[Point], window: tuple[float, float], zero: float, marks: Sequence[float]
) -> str:
    values = [panel.value(one) for one in points]
    now = _number(values[-1]) if values else "–"
    tone = "leak" if panel.key == "failures" and any(values) else "load"
    top = max([1.0, *values]) * 1.08
    start, end = window

    def x(at: float) -> int:
        return round((at - start) / (end - start) * _WIDTH)

    def y(value: float) -> int:
        return round((1 - value / top) * _HEIGHT)

    line = "L".join(f"{x(one.at)} {y(value)}" for one, value in zip(points, values, strict=True))
    upright = "".join(f"M{x(one)} 0v{_HEIGHT}" for one in marks)
    heights = list(_round_numbers(top))
    grid = "".join(f"M0 {y(one)}h{_WIDTH}" for one in heights)
    labels = [f'<i class=y style="top:{y(one) / _HEIGHT:.1%}">{_number(one)}</i>' for one in heights]
    labels += [f'<i class=x style="left:{x(at) / _WIDTH:.1%}">{words}</i>' for at, words in _times(start, end, zero)]
    words = f"{panel.title}: {now} {panel.unit}"
    return (
        f'<article class="live {tone}" id=r-load-{panel.key}><header><h3>{panel.title}</h3></header>'
        f"<p class=now><b>{now}</b> <span class=soft>{panel.unit}</span></p>"
        f'<div class=plot><svg role=img aria-label="{words}" viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio=none>'
        f'<title>{words}</title><path class=grid d="{grid}"/>'
        + (f'<path class=mark d="{upright}"/>' if upright else "")
        + (f'<path class=fit d="M{line}"/>' if line else "")
        + f"</svg><div aria-hidden=true>{''.join(labels)}</div></div></article>"
    )


def _number(value: float) -> str:
    digits = 0 if value == int(value) or value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def _round_numbers(top: float) -> Iterator[float]:
    """Zero and up to four round numbers above it."""
    power = 10.0 ** math.floor(math.log10(top / 3))
    step = next(power * one for one in (1, 2, 5, 10) if power * one * 3 >= top)
    for number in range(int(top / step) + 1):
        yield number * step


def _times(start: float, end: float, zero: float) -> Iterator[tuple[float, str]]:
    span = end - start
    step = next((step for step in _STEPS if step * 4 >= span), _STEPS[-1])
    while step * 4 < span:
        step *= 2
    for number in range(math.ceil((start - zero) / step), math.floor((end - zero) / step) + 1):
        yield zero + number * step, length(number * step)
