"""An Audit document, schema 1, as the rows of a table: text only, leaks first. Pure, standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MOST_ROWS = 200
"""Of one table: Locust's page draws all of it anew at each reading."""
LONGEST = 200
"""Characters of one text that the target chose."""
DASH = "–"
RANKS: Mapping[str, int] = {"leak": 0, "undecided": 1, "not_judged": 2, "clean": 3}
"""Of verdicts: leaks stand first."""
COLUMNS: Mapping[str, str] = {
    "resource": "Resource",
    "now": "Now",
    "growth": "Since start",
    "rate": "Rate",
    "verdict": "Verdict",
    "forecast": "Forecast",
}
"""Of a `Row`: field and heading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    resource: str
    now: str = ""
    growth: str = ""
    rate: str = ""
    verdict: str = ""
    forecast: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the table shows of one document."""

    target: str
    verdict: str
    looked_at: float
    """Seconds of the watch's clock at its last look; what does not change any more is old."""
    growths: Mapping[str, tuple[float, str]]
    """By what a row calls its resource, also before it has one: its growth since the watch began, and the unit."""
    rows: tuple[Row, ...]
    """What asks for the reader first."""


def watched(body: bytes) -> Watched:
    """Take a document apart; a ValueError says in what way it is none.

    Does not see: growth by role, holders, evidence, rounds before the last; the watch's own report has them.
    """
    try:
        return _watched(json.loads(body))
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # All that JSON of another form, or no JSON, can raise above.
        raise ValueError(f"no audit of schema 1 ({type(error).__name__}: {visible(error)})") from None


def visible(text: object) -> str:
    """Text of the target without power over a terminal or the order of letters. Does not see: HTML; the page does."""
    shown = str(text)
    cut = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in cut)


def quantity(value: float, unit: str, sign: str = "") -> str:
    """`12,400 sockets`, `+4.21 MiB`: whole numbers whole, others with three digits; `sign` "+" shows it always."""
    size, name = _scaled(float(value)) if unit == "bytes" else (round(float(value), 6), unit)
    places = 0 if size.is_integer() or abs(size) >= 100 else 1 if abs(size) >= 10 else 2 if abs(size) >= 0.1 else 4
    return f"{size:{sign if size else ''},.{places}f} {name}"


def _scaled(size: float) -> tuple[float, str]:
    for name in ("bytes", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return size, name
        size /= 1024
    return size, "TiB"


def _watched(audit: Mapping[str, Any]) -> Watched:
    if audit["schema"] != 1:
        raise ValueError(f"its schema is {audit['schema']!r}")
    last: Mapping[str, Any] = audit["rounds"][-1] if audit["rounds"] else {"at_seconds": 0.0, "readings": {}}
    values = {one["title"]: last["readings"].get(one["name"]) for one in audit["resources"]}
    findings = sorted(audit["findings"], key=lambda one: (RANKS[one["verdict"]], str(one["title"])))
    rows = [_row(one, values.get(one["title"])) for one in findings[:MOST_ROWS]]
    if len(findings) > MOST_ROWS:
        rows.append(Row(resource=f"and {len(findings) - MOST_ROWS:,} more: the watch's own report has them"))
    return Watched(
        target=visible(audit["target"]["name"]) if audit["target"] else "a target that has not answered",
        verdict=_label(audit["verdict"]),
        looked_at=float(last["at_seconds"]),
        growths={
            visible(one["title"]): (float(value["growth"]), visible(one["unit"]))
            for one in audit["resources"]
            if (value := values.get(one["title"])) is not None
        },
        rows=tuple(rows),
    )


def _row(finding: Mapping[str, Any], value: Mapping[str, Any] | None) -> Row:
    """`value` is None for what could not be read, and for what is no reading: what outlived a server's end."""
    unit, rate, forecast = visible(finding["unit"]), finding["rate"], finding["forecast"]
    return Row(
        resource=visible(finding["title"]),
        now=quantity(value["total"], unit) if value else DASH,
        growth=quantity(value["growth"], unit, sign="+") if value else DASH,
        rate=_rate(rate) if rate else DASH,
        verdict=_label(finding["verdict"]),
        forecast=visible(forecast["sentence"]) if forecast else DASH,
    )


def _rate(rate: Mapping[str, Any]) -> str:
    """Growth by time is told per hour: a leak that matters may be a few an hour."""
    by_time = rate["per"] == "second"
    value = float(f"{rate['value'] * (3600 if by_time else 1):.3g}")  # an estimate has no more digits than this
    return f"{quantity(value, visible(rate['unit']), sign='+')} per {'hour' if by_time else 'operation'}"


def _label(verdict: object) -> str:
    return visible(verdict).replace("_", " ").upper()
