"""The time axis that the charts of a watch share: Unix seconds as asked for, the watch's own seconds as drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from urllib.parse import parse_qsl

from leakcheck.model.moment import Moment

_LATEST = 1e11
"""Unix seconds, in the year 5138: what is larger is no time."""
_MOST_OPERATIONS = 1e15
_LEAST_SPAN = 10.0
"""Seconds: two looks must not fill the whole width."""
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a reader's query says; all but `operations` in Unix seconds, None where it says nothing."""

    since: float | None = None
    """When the load began: zero on the axis."""
    until: float | None = None
    """When it ended."""
    start: float | None = None
    """Left end of the axis."""
    end: float | None = None
    """Its right end."""
    operations: float | None = None
    """Done since it began, by who makes it."""
    counted: float | None = None
    """When these were counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The same in seconds of the watch's clock, whole: `start` < `end`."""

    start: float
    end: float
    zero: float
    """Where the load began, or the watch."""
    until: float | None
    """Where the load ended."""
    marks: tuple[float, ...]
    """Of these, what is to be drawn."""
    operations: float | None
    counted: float
    """When these were counted: the axis' end, unless it was said."""


_NAMES = {
    "since": "since",
    "until": "until",
    "from": "start",
    "to": "end",
    "operations": "operations",
    "counted": "counted",
}


def asked(query: str) -> Asked:
    """Read `since=…&until=…&from=…&to=…&operations=…&counted=…`, each at most once, decimal; other names are refused.

    A ValueError says which value is wrong and what it must be. Does not see: whether a load ran at all.
    """
    found: dict[str, float] = {}
    for name, text in parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=len(_NAMES)):
        if name not in _NAMES or _NAMES[name] in found:
            raise ValueError(f"there is {', '.join(_NAMES)}, each at most once")
        found[_NAMES[name]] = _number(name, text)
    given = Asked(**found)
    for earlier, later, words in (
        (given.since, given.until, "since, until"),
        (given.start, given.end, "from, to"),
        (given.since, given.counted, "since, counted"),
    ):
        if later is not None and (earlier is None or earlier > later):
            raise ValueError(f"{words}: the second needs the first, and may not lie before it")
    return given


def axis(given: Asked, moment: Moment, first_seconds: float) -> Axis:
    """Put what was asked for on the watch's clock; by itself it reaches from the first reading to the last look.

    Does not see: a wall clock that was set while the watch went on; both ends move with it.
    """
    offset = moment.elapsed_seconds - moment.unix_seconds
    start = first_seconds if given.start is None else given.start + offset
    end = moment.elapsed_seconds if given.end is None else given.end + offset
    if given.start is None and given.since is not None:
        start = min(start, given.since + offset)
    began, ended = (None if one is None else one + offset for one in (given.since, given.until))
    return Axis(
        start=start,
        end=max(end, start + _LEAST_SPAN),
        zero=began or 0.0,
        until=ended,
        marks=tuple(one for one in (began, ended) if one is not None and start <= one <= end),
        operations=given.operations,
        counted=end if given.counted is None else given.counted + offset,
    )


def ticks(one: Axis, about: int = 4) -> tuple[tuple[float, str], ...]:
    """Places on the axis, in its seconds, and what stands there: `30 s`, `5 min`, at most about so many.

    Does not see: how wide the drawing is.
    """
    span = one.end - one.start
    step = next((step for step in _STEPS if step * about >= span), float(_STEPS[-1]))
    while step * about < span:
        step *= 2
    first, last = math.ceil((one.start - one.zero) / step), math.floor((one.end - one.zero) / step)
    return tuple((one.zero + number * step, _named(number * step)) for number in range(first, last + 1))


def _named(seconds: float) -> str:
    if seconds == 0:
        return "0"
    size, name = next((size, name) for size, name in _UNITS if seconds % size == 0 or size == 1)
    return f"{seconds / size:,.0f} {name}".replace("-", "\u2212")


def _number(name: str, text: str) -> float:
    most = _MOST_OPERATIONS if name == "operations" else _LATEST
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < most:
        what = "a number of operations" if name == "operations" else "a time in Unix seconds"
        raise ValueError(f"{name} must be {what}, from 0 to {most:.0e}")
    return value
