"""One HTML file: offline, without script, under 200 KiB, the verdict first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jinja2
from markupsafe import Markup

from leakcheck.model.audit import Audit
from leakcheck.model.event import Copy
from leakcheck.model.finding import Finding, Verdict
from leakcheck.render import _copies, _growth, _summary, chart, figures
from leakcheck.render._curve import Curve, curve_of
from leakcheck.render._growth import Grown
from leakcheck.render._reproduce import command_line
from leakcheck.render._visible import visible

FILE = "report.html"

LARGEST = 200 * 1024
"""Bytes of a page: it must open at once from a mail or a CI artefact."""

WORDS = {
    Verdict.LEAK: "Leak",
    Verdict.CLEAN: "Clean",
    Verdict.UNDECIDED: "Undecided",
    Verdict.NOT_JUDGED: "Not judged",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Detail:
    """How much of an audit is shown; the first one whose page is small enough is taken."""

    points: int
    """Of a curve."""
    spark_points: int
    text: int
    """Characters of one text."""
    items: int
    """Of a list: findings with a card, rows of a table, warnings."""


_DETAILS = (
    _Detail(points=80, spark_points=40, text=2000, items=400),
    _Detail(points=40, spark_points=20, text=800, items=200),
    _Detail(points=20, spark_points=12, text=400, items=80),
    _Detail(points=12, spark_points=8, text=160, items=24),
    _Detail(points=8, spark_points=8, text=80, items=10),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Card:
    """A finding as it is shown in full."""

    anchor: str
    finding: Finding
    chart: Markup | None
    grown: tuple[Grown, ...]
    roles: tuple[Grown, ...]
    copies: tuple[Copy, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A clean finding as one row."""

    finding: Finding
    spark: Markup | None
    last: str


def render(audit: Audit) -> bytes:
    """Give the page. Long texts and dense curves are cut until it fits; it says where audit.json has the rest."""
    page = b""
    for detail in _DETAILS:
        page = _page(audit, detail).encode()
        if len(page) <= LARGEST:
            break
    return page


def _page(audit: Audit, detail: _Detail) -> str:
    shown = {verdict: _summary.of_verdict(audit, verdict) for verdict in Verdict}
    carded = [*shown[Verdict.LEAK], *shown[Verdict.UNDECIDED]]
    cards = [_card(audit, finding, number, detail) for number, finding in enumerate(carded[: detail.items], 1)]
    clean = [_row(audit, finding, detail) for finding in shown[Verdict.CLEAN][: detail.items]]
    left_out = len(audit.findings) - len(cards) - len(clean) - len(shown[Verdict.NOT_JUDGED][: detail.items])
    return template("report.html.jinja", detail.text).render(
        audit=audit,
        cards=cards,
        clean=clean,
        not_judged=shown[Verdict.NOT_JUDGED],
        findings_left_out=left_out,
        most=detail.items,
        watched=[card.finding for card in cards[:4]],
        command=command_line(audit.plan),
    )


def _card(audit: Audit, finding: Finding, number: int, detail: _Detail) -> _Card:
    curve = curve_of(audit, finding)
    return _Card(
        anchor=f"f{number}",
        finding=finding,
        chart=chart.chart(curve, _label(finding, curve), detail.points) if curve else None,
        grown=_growth.grown(audit, finding.resource),
        roles=_growth.grown_roles(audit, finding.resource),
        copies=_copies.of_copies(audit, finding.operation),
    )


def _row(audit: Audit, finding: Finding, detail: _Detail) -> _Row:
    curve = curve_of(audit, finding)
    return _Row(
        finding=finding,
        spark=chart.sparkline(curve, _label(finding, curve), detail.spark_points) if curve else None,
        last=figures.quantity(curve.points[-1].total, finding.unit) if curve else "",
    )


def _label(finding: Finding, curve: Curve) -> str:
    """What the drawing shows, for whoever can't see it."""
    first, last = curve.points[0], curve.points[-1]
    ends = (figures.quantity(point.y, finding.unit) for point in (first, last))
    text = f"{finding.title or finding.resource}: from {' to '.join(ends)} over {len(curve.points)} floors"
    return visible(text, 300)


@cache
def template(name: str, most: int) -> jinja2.Template:
    """Load one of our templates, whose expressions are made visible, cut to `most` characters and escaped.

    Raises jinja2.TemplateNotFound for another name. Does not see: what a template marks as safe by itself.
    """

    def tame(value: object) -> object:
        """Every expression of the template passes here before it is escaped; only our own drawings go as they are."""
        return visible(value, most) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = jinja2.Environment(
        autoescape=True,
        finalize=tame,
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals.update(copies=_copies, figures=figures, summary=_summary, words=WORDS, phases=figures.PHASES)
    return environment.get_template(name)
