"""A watch's resources as charts that are drawn anew at each look: a fragment for somebody's page, and a page."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

from markupsafe import Markup

from leakcheck.model.audit import Audit, Round
from leakcheck.model.finding import Finding, Per, Verdict
from leakcheck.model.moment import Moment
from leakcheck.render import _summary, chart, figures
from leakcheck.render._axis import Asked, Axis, axis
from leakcheck.render._curve import Curve, by_seconds
from leakcheck.render._visible import visible
from leakcheck.render.html import LARGEST, template

PLUGIN = False

MOST_LOOKS = 64
"""Since the last judged floor: a look a second for a minute, later one of two, of four, and so on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Detail:
    """How much is shown; the first one that is small enough is taken."""

    points: int
    text: int
    """Characters of one text."""
    items: int
    """Resources, and lines of a list."""


_DETAILS = (
    _Detail(points=100, text=600, items=200),
    _Detail(points=60, text=400, items=120),
    _Detail(points=40, text=200, items=60),
    _Detail(points=12, text=80, items=24),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Card:
    """One resource as it stands now."""

    anchor: str
    finding: Finding
    now: str
    grown: str
    """Since the load began, or since the watch did."""
    rate: str
    """Or how small a one would have been seen."""
    drawing: Markup | None


class Recent:
    """The looks since the verdicts were last reached: few, and evenly apart, however long that is ago."""

    def __init__(self) -> None:
        self.rounds: tuple[Round, ...] = ()
        self._every, self._number = 1, 0

    def add(self, look: Round, judged: tuple[Round, ...]) -> None:
        """Take the latest look; those before the last judged floor are let go of."""
        if judged and self.rounds and self.rounds[0].at_seconds <= judged[-1].at_seconds:
            self.rounds = tuple(one for one in self.rounds if one.at_seconds > judged[-1].at_seconds)
            self._every, self._number = 1, len(self.rounds)
        kept = self.rounds[:-1] if self._number % self._every and self.rounds else self.rounds
        self.rounds, self._number = (*kept, look), self._number + 1
        if len(self.rounds) > MOST_LOOKS:
            self.rounds, self._every = self.rounds[::2], self._every * 2


def fragment(moment: Moment, looks: tuple[Round, ...], given: Asked) -> bytes:
    """Give the style and one article per resource, leaks first, at most LARGEST bytes.

    `looks` follow the judged floors, oldest first. Texts and curves are cut until it fits; it says what is left out.
    Does not see: rates by operation, holders, suspects; the report has them.
    """
    return _fitting("watch_charts.html.jinja", moment, looks, given)


def page(moment: Moment, looks: tuple[Round, ...], given: Asked) -> bytes:
    """Give the same as a page of its own that asks for itself again. Does not see: what the fragment does not."""
    return _fitting("watch_page.html.jinja", moment, looks, given)


def _fitting(name: str, moment: Moment, looks: tuple[Round, ...], given: Asked) -> bytes:
    drawn = b""
    for detail in _DETAILS:
        drawn = _drawn(name, moment, looks, given, detail)
        if len(drawn) <= LARGEST:
            break
    return drawn


def _drawn(name: str, moment: Moment, looks: tuple[Round, ...], given: Asked, detail: _Detail) -> bytes:
    audit = moment.audit
    rounds = (*audit.rounds, *looks)
    drawn = (*_thinned(audit.rounds, detail.points), *looks[-detail.points :])
    on = axis(given, moment, rounds[0].at_seconds if rounds else 0.0)
    order = (Verdict.LEAK, Verdict.UNDECIDED, Verdict.CLEAN)
    carded = [finding for verdict in order for finding in _summary.of_verdict(audit, verdict)] or _unjudged(audit)
    cards = [_card(one, rounds, on, _drawing(one, drawn, looks, on)) for one in carded[: detail.items]]
    not_judged = _summary.of_verdict(audit, Verdict.NOT_JUDGED)
    return (
        template(name, detail.text)
        .render(
            audit=audit,
            cards=cards,
            counted={verdict: len(_summary.of_verdict(audit, verdict)) for verdict in order},
            elapsed=moment.elapsed_seconds,
            judged_ago=moment.elapsed_seconds - moment.judged_seconds,
            left_out=len(carded) - len(cards),
            most=detail.items,
            not_judged=not_judged,
            since="the load began" if given.since is not None else "the watch began",
        )
        .encode()
    )


def _unjudged(audit: Audit) -> list[Finding]:
    """Before the first verdicts values move already, and are shown."""
    return [
        Finding(
            resource=one.name,
            title=one.title,
            unit=one.unit,
            verdict=Verdict.NOT_JUDGED,
            shape=None,
            operation=None,
            rate=None,
            detectable=None,
            forecast=None,
            evidence="Too few floors yet for a verdict.",
            suspects=(),
            fingerprint=f"{number}",
        )
        for number, one in enumerate(audit.resources)
        if one.judged
    ]


def _thinned(rounds: tuple[Round, ...], most: int) -> tuple[Round, ...]:
    """About so many, evenly: all charts cost little, and a process that was replaced is still seen."""
    step = -(-len(rounds) // most)
    first = (len(rounds) - 1) % step if rounds else 0
    return tuple(
        one
        for index, one in enumerate(rounds)
        if index % step == first or any(value.broken for value in one.readings.values())
    )


def _card(finding: Finding, rounds: tuple[Round, ...], on: Axis, drawing: Markup | None) -> _Card:
    last = rounds[-1].readings.get(finding.resource) if rounds else None
    return _Card(
        anchor=f"r-{finding.fingerprint}",
        finding=finding,
        now=figures.DASH if last is None else figures.quantity(last.total, finding.unit),
        grown=_grown(rounds, finding, on),
        rate=_rate(finding) or _clear_of(finding),
        drawing=drawing,
    )


def _drawing(finding: Finding, rounds: tuple[Round, ...], looks: tuple[Round, ...], on: Axis) -> Markup | None:
    points = by_seconds(rounds, finding.resource)
    if not points:
        return None
    curve = Curve(points=points, fits=(), warm_up_end=None, x_unit="seconds", unit=finding.unit)
    latest = sum(point.x >= looks[0].at_seconds for point in points) if looks else 0
    ends = " to ".join(figures.quantity(one.total, finding.unit) for one in (points[0], points[-1]))
    label = visible(f"{finding.title or finding.resource}: {ends}", 300)
    return chart.strip(curve, on, min(latest, len(points) - 1), label)


def _grown(rounds: tuple[Round, ...], finding: Finding, on: Axis) -> str:
    """Growth inside processes that lived on, up to the load's end or now; by the load's own count where that is known.

    From the last round before the load began, for at the first one after it there is growth already.
    """
    known = [
        (one.at_seconds, one.readings[finding.resource].growth) for one in rounds if finding.resource in one.readings
    ]
    if not known:
        return ""
    end = on.end if on.until is None else on.until
    first = next((growth for at, growth in reversed(known) if at <= on.zero), known[0][1])
    grown = next((growth for at, growth in reversed(known) if at <= end), first) - first
    if not grown:
        return "unchanged"
    amount = figures.quantity(grown, "bytes") if finding.unit == "bytes" else figures.count(grown)
    told = f"{'+' if grown > 0 else ''}{amount}"
    if not on.operations:
        return told
    each = float(f"{(_growth_at(known, min(on.counted, end)) - first) / on.operations:.2g}")
    return f"{told}, {figures.quantity(each, 'bytes') if finding.unit == 'bytes' else figures.count(each)} per request"


def _growth_at(known: list[tuple[float, float]], at: float) -> float:
    """Between two looks, in proportion: operations are counted at another instant."""
    for (before, was), (after, now) in pairwise(known):
        if before <= at <= after and before < after:
            return was + (now - was) * (at - before) / (after - before)
    return known[0][1] if at < known[0][0] else known[-1][1]


def _rate(finding: Finding) -> str:
    """Of time, told per hour, as the tab and the screen do: a leak that matters may be a few an hour."""
    rate = finding.rate
    if rate is None:
        return ""
    if rate.per is not Per.SECOND:
        return figures.rate(rate, finding.operation)
    hourly = replace(rate, value=3600 * rate.value, low=3600 * rate.low, high=3600 * rate.high)
    value, interval = figures.rate_parts(hourly, None)
    return f"{value.removesuffix('per second')}per hour ({interval})"


def _clear_of(finding: Finding) -> str:
    seen = _summary.would_have_seen(finding) if finding.verdict is Verdict.CLEAN else ""
    return f"would have seen {seen}" if seen else ""
