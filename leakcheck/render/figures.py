"""Numbers as people read them: bytes in KiB and MiB, rates with their interval, times. Shared by all formats."""

from __future__ import annotations

import math
from datetime import datetime

from leakcheck.model.event import Phase
from leakcheck.model.finding import Detectable, Per, Rate

PLUGIN = False

DASH = "\u2013"
"""Between the ends of an interval; alone, for what is unknown."""
MINUS = "\u2212"

PHASES = {
    Phase.PILOT: "pilot",
    Phase.WARM_UP: "warm-up",
    Phase.MAIN: "judged",
    Phase.QUIET: "quiet",
    Phase.CONFIRM: "confirming",
    Phase.IDLE: "idle",
    Phase.ABANDON: "abandoning",
    Phase.WAIT: "waiting",
}

_BINARY = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
_MOST_DECIMALS = 6


def count(value: float) -> str:
    """`12,400`: a whole number with thousands separated; `3.5` keeps one decimal, a small one two digits."""
    if not math.isfinite(value):
        return _endless(value)
    if value == int(value):
        return f"{int(value):,}".replace("-", MINUS)
    decimals = 1 if abs(value) >= 1 else _decimals_of(abs(value)) + 1
    return f"{value:,.{min(decimals, _MOST_DECIMALS)}f}".replace("-", MINUS)


def quantity(value: float, unit: str) -> str:
    """`12,400 sockets`, `4.2 MiB`."""
    if unit != "bytes":
        return f"{count(value)} {unit}"
    scaled, name = _scaled(value)
    return f"{plain(scaled)} {name}"


def plain(value: float) -> str:
    """Three digits at most where there is a fraction: `4.21`, `42.1`, `421`."""
    if not math.isfinite(value):
        return _endless(value)
    size = abs(value)
    decimals = 0 if value == int(value) or size >= 100 else 1 if size >= 10 else 2
    return f"{value:,.{decimals}f}".replace("-", MINUS)


def rate(one: Rate, operation: str | None) -> str:
    """`1.00 processes per call:skill_echo (0.98 to 1.02)`: value and interval on one line."""
    value, interval = rate_parts(one, operation)
    return f"{value} ({interval})"


def rate_parts(one: Rate, operation: str | None) -> tuple[str, str]:
    """`1.00 processes per call:skill_echo` and its interval `0.98 to 1.02`: the digits that this can bear, no more."""
    value, low, high, unit = one.value, one.low, one.high, one.unit
    if unit == "bytes":
        largest = max((abs(number) for number in (value, low, high) if math.isfinite(number)), default=0.0)
        factor, unit = _factor(largest)
        value, low, high = value / factor, low / factor, high / factor
    decimals = _rate_decimals(value, high - low)
    shown, least, most = (_fixed(number, decimals) for number in (value, low, high))
    joined = f"{least} to {most}" if low < 0 else f"{least}{DASH}{most}"
    return f"{shown} {unit} {per(one.per, operation)}", joined


def per(counted: Per, operation: str | None) -> str:
    """`per call:store`, `per operation`, `per second`."""
    return "per second" if counted is Per.SECOND else f"per {operation or 'operation'}"


def detectable(one: Detectable) -> str:
    """What this run would have seen: `1 per 310 operations`, `4.2 KiB per operation`, `1 per 12 s`.

    The denominator is rounded down: the rate shown is never smaller than the one that would have been seen.
    """
    seconds = one.per is Per.SECOND
    if one.unit == "bytes" and one.value >= 1:
        return f"{quantity(one.value, 'bytes')} per {'second' if seconds else 'operation'}"
    piece = "1 byte" if one.unit == "bytes" else "1"
    if not 0 < one.value < 1:
        return f"{plain(one.value)} per {'second' if seconds else 'operation'}"
    apart = math.floor(1 / one.value + 1e-9)
    if apart <= 1:
        return f"{piece} per {'second' if seconds else 'operation'}"
    return f"{piece} per {count(apart)} {'s' if seconds else 'operations'}"


def seconds(value: float | None) -> str:
    """`0.4 ms`, `1.2 s`, `61 s`, `4 min 10 s`, `2 h 5 min`."""
    if value is None or not math.isfinite(value):
        return "unknown"
    if value < 0.1:
        return f"{plain(value * 1000)} ms"
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    whole = round(value)
    if value < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def moment(text: str) -> str:
    """`2026-11-22 18:00 UTC` from ISO 8601; any other text as it is."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{at:%Y-%m-%d %H:%M} {at.tzname() or ''}".rstrip()


def share(value: float | None) -> str:
    """`0.3 %` of a core."""
    if value is None:
        return "unknown"
    return "under 0.1 %" if 0 < value < 0.001 else f"{plain(value * 100)} %"


def counted(number: int, singular: str, plural: str = "") -> str:
    """`1 leak`, `3 leaks`, `2 processes`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def more(number: int, shown: int) -> str:
    """` and 3 more`, or nothing when all are shown."""
    return f" and {number - shown} more" if number > shown else ""


def tick(value: float, unit: str) -> str:
    """A number short enough for an axis: `500`, `20k`, `1.5M`; bytes as ever."""
    if unit == "bytes":
        return quantity(value, "bytes")
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{plain(value / (1e3 if letter == 'k' else size))}{letter}"
    return count(value)


def ticks(low: float, high: float, unit: str, about: int = 5) -> tuple[float, ...]:
    """Round numbers inside low..high, about as many as asked for: steps of 1, 2, 5 (bytes: powers of two)."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return (low,) if math.isfinite(low) else ()
    if unit == "bytes":
        step = 2.0 ** math.ceil(math.log2(span / about))
    else:
        power = 10.0 ** math.floor(math.log10(span / about))
        step = next(power * one for one in (1, 2, 5, 10) if power * one * about >= span * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return tuple(index * step for index in range(first, last + 1))


def _endless(value: float) -> str:
    return "∞" if value > 0 else f"{MINUS}∞" if value < 0 else "not a number"


def _factor(value: float) -> tuple[float, str]:
    power = 0
    while abs(value) >= 1024 and power < len(_BINARY) - 1:
        value /= 1024
        power += 1
    return 1024.0**power, _BINARY[power]


def _scaled(value: float) -> tuple[float, str]:
    factor, name = _factor(value if math.isfinite(value) else 0)
    return value / factor, name


def _decimals_of(value: float) -> int:
    return max(0, math.ceil(-math.log10(value))) if 0 < value < math.inf else 0


def _rate_decimals(value: float, width: float) -> int:
    if not math.isfinite(width) or not math.isfinite(value):
        return 2
    if width <= 0:
        return max(2, min(_MOST_DECIMALS, _decimals_of(abs(value)) + 1)) if value != int(value) or value < 100 else 0
    return min(_MOST_DECIMALS, _decimals_of(width / 2))


def _fixed(value: float, decimals: int) -> str:
    if not math.isfinite(value):
        return _endless(value)
    rounded = round(value, decimals) + 0.0
    return f"{rounded:,.{decimals}f}".replace("-", MINUS)
