"""An Audit on the terminal: 80 columns suffice, colour adds nothing that the words don't say."""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from leakcheck.model.audit import Audit
from leakcheck.model.finding import Finding, Verdict
from leakcheck.model.plan import DriverKind
from leakcheck.render import _copies, _growth, _summary, figures
from leakcheck.render._visible import visible, visible_lines

FILE = "report.txt"

STYLES = {
    Verdict.LEAK: "bold red",
    Verdict.CLEAN: "bold green",
    Verdict.UNDECIDED: "bold yellow",
    Verdict.NOT_JUDGED: "bold",
}

_WIDTH = 80
_MOST_WARNINGS = 20
_MOST_LEFT_OUT = 12


class PatientConsole(Console):
    """A rich console that goes quiet when its reader is gone.

    Rich itself would exit, after sending the process's standard output to /dev/null even where only standard error
    was closed; an audit must go on and be kept.
    """

    def on_broken_pipe(self) -> None:
        """Drop whatever is still to be written, what the file holds back included."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, self.file.fileno())
        finally:
            os.close(nowhere)


def open_console(*, stderr: bool = False) -> PatientConsole:
    """Open the console on standard output or error; what its encoding lacks is written as an escape."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return PatientConsole(stderr=stderr)


def render(audit: Audit) -> bytes:
    """Give the same text as `print_audit`, 80 columns wide and without colour."""
    file = io.StringIO()
    print_audit(audit, Console(file=file, width=_WIDTH, color_system=None, force_terminal=False))
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines()).encode()


def print_audit(audit: Audit, console: Console) -> None:
    """Print verdict, what was played, findings (leaks first), what was not judged, warnings, files and cost."""
    for part in _parts(audit):
        console.print(part, markup=False, highlight=False, emoji=False)


def print_plain(text: str, console: PatientConsole) -> None:
    """Write `text` as it is where `console` writes; a reader who leaves early is no error."""
    try:
        console.file.write(text)
        console.file.flush()
    except BrokenPipeError:
        console.on_broken_pipe()


def side_by_side(left: Audit, right: Audit, console: Console) -> None:
    """Print two audits as two columns: the verdicts above, then one row for each resource."""
    table = Table(box=None, padding=(0, 2, 0, 0), expand=True)
    table.add_column("", ratio=5, overflow="fold")
    for audit, name in zip((left, right), _names(left, right), strict=True):
        head = Text.assemble(_text(name, most=60, style="bold"), "\n", _label(audit.verdict))
        table.add_column(head, ratio=6)
    table.add_row(Text(""), *(_text(f"{_summary.sentence(audit)}\n") for audit in (left, right)))
    for title in _titles(left, right):
        both = [_find(audit, title) for audit in (left, right)]
        table.add_row(_text(title, most=120), *(_cell(one) for one in both))
    console.print(table, markup=False, highlight=False, emoji=False)
    console.print(Text("CLEAN means: down to the rate that each report names for the resource.", style="dim"))


def _parts(audit: Audit) -> Iterator[RenderableType]:
    head = Text.assemble(_label(audit.verdict), "  ", _text(_summary.name_of(audit), most=80), ": ")
    yield head.append(_text(_summary.headline(audit)))
    if ending := _summary.ending(audit):
        yield _text(ending, style="yellow")
    yield ""
    yield _experiment(audit)
    for verdict in (Verdict.LEAK, Verdict.UNDECIDED):
        for finding in _summary.of_verdict(audit, verdict):
            yield ""
            yield (
                _label(verdict)
                .append(_text(f"  {finding.title or finding.resource}", style="bold"))
                .append(_text(f"  {finding.resource}", style="dim"))
            )
            yield Padding(_full(audit, finding), (0, 0, 0, 2))
    clean = _summary.of_verdict(audit, Verdict.CLEAN)
    if clean:
        yield ""
        yield _clean(clean)
    yield from _not_judged(audit)
    yield from _warnings(audit)
    yield from _last(audit)


def _experiment(audit: Audit) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    target = audit.target
    if target is not None:
        table.add_row("Target", _text(shlex.join(target.command) or f"pid {target.pid}", most=400))
        ready = f" · ready in {figures.seconds(target.ready_seconds)}" if target.operations else ""
        table.add_row("Server", _text(f"{target.server} · {target.protocol}{ready}"))
    elif audit.plan.command:
        table.add_row("Target", _text(shlex.join(audit.plan.command), most=400))
    kinds = _summary.played(audit)
    done = " · ".join(f"{kind.operation} {figures.count(kind.done)}" for kind in kinds) or "nothing"
    rounds = figures.counted(len(audit.rounds), "round")
    if audit.plan.driver is DriverKind.NONE:
        table.add_row("Watched", _text(f"{figures.seconds(audit.tool.wall_seconds)}, {len(audit.rounds)} floors"))
    else:
        table.add_row("Played", _text(f"{rounds} in {figures.seconds(audit.tool.wall_seconds)}: {done}"))
    failed = [f"{kind.operation} {figures.count(kind.failed)}" for kind in kinds if kind.failed]
    if failed:
        table.add_row("Failed", _text(" · ".join(failed), style="yellow"))
    left_out = _summary.left_out(audit)
    for number, (names, reason) in enumerate(left_out[:_MOST_LEFT_OUT]):
        table.add_row("" if number else "Left out", _text(f"{names}: {reason}", most=400))
    if len(left_out) > _MOST_LEFT_OUT:
        table.add_row("", f"and {len(left_out) - _MOST_LEFT_OUT} more, see audit.json")
    for row in _copies.endings(audit):
        if row.left != "nothing":
            table.add_row("Copies", _text(f"{row.operation}: {row.left}"))
    return table


def _full(audit: Audit, finding: Finding) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    if finding.rate is not None:
        table.add_row("Rate", _text(figures.rate(finding.rate, finding.operation), style="bold"))
    elif finding.operation:
        table.add_row("On", _text(finding.operation))
    if finding.shape is not None:
        table.add_row("Shape", _summary.SHAPES[finding.shape])
    table.add_row("Evidence", _text(finding.evidence))
    if finding.forecast is not None:
        table.add_row("Forecast", _text(finding.forecast.sentence))
    for suspect in finding.suspects[:5]:
        table.add_row("Suspect", _text(f"{suspect.holder}: {suspect.proof}"))
    if not finding.suspects:
        for one in _growth.grown(audit, finding.resource, 3):
            change = f"{figures.quantity(one.before, finding.unit)} → {figures.quantity(one.after, finding.unit)}"
            table.add_row("Held by", _text(f"{visible(one.name, 200)}: {change}"))
    if finding.needs:
        table.add_row("Needs", _text(finding.needs))
    if finding.verdict is Verdict.UNDECIDED and finding.detectable:
        table.add_row("Would see", _text(_summary.would_have_seen(finding)))
    return table


def _clean(findings: tuple[Finding, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(Text.assemble(("CLEAN", STYLES[Verdict.CLEAN])), ratio=5, overflow="fold")
    table.add_column("shape", ratio=3)
    table.add_column("this run would have seen", ratio=4)
    for finding in findings:
        shape = _summary.SHAPES[finding.shape] if finding.shape else ""
        title = _text(finding.title or finding.resource, most=160)
        table.add_row(title, _text(shape), _text(_summary.would_have_seen(finding) or figures.DASH))
    return table


def _not_judged(audit: Audit) -> Iterator[RenderableType]:
    found = _summary.of_verdict(audit, Verdict.NOT_JUDGED)
    if not found:
        return
    yield ""
    yield _label(Verdict.NOT_JUDGED)
    table = Table.grid(padding=(0, 2, 0, 0))
    for finding in found:
        where = f" on {finding.operation}" if finding.operation else ""
        table.add_row(_text(f"{finding.title or finding.resource}{where}: {finding.evidence}"))
    yield Padding(table, (0, 0, 0, 2))


def _warnings(audit: Audit) -> Iterator[RenderableType]:
    if not audit.warnings:
        return
    yield ""
    for warning in audit.warnings[:_MOST_WARNINGS]:
        yield Text.assemble(("warning: ", "yellow"), visible_lines(warning, 1000))
    if len(audit.warnings) > _MOST_WARNINGS:
        yield f"and {len(audit.warnings) - _MOST_WARNINGS} more warnings in audit.json"


def _last(audit: Audit) -> Iterator[RenderableType]:
    yield ""
    if audit.plan.directory:
        folder = audit.plan.directory.rstrip("/")
        yield Text.assemble(("Report   ", "dim"), _text(f"{folder}/report.html"), "  and audit.json beside it")
    if cost := _summary.cost(audit):
        yield Text.assemble(("Cost     ", "dim"), cost)


def _label(verdict: Verdict) -> Text:
    return Text(_summary.LABELS[verdict], style=STYLES[verdict])


def _text(text: str, *, most: int = 1000, style: str = "") -> Text:
    """Text of the target's without any power: no markup, no control character, no bidi override."""
    lines = (visible(line, most) for line in text.split("\n")) if text.endswith("\n") else (visible(text, most),)
    return Text("\n".join(lines), style=style)


def _title(finding: Finding) -> str:
    """What a row is about: the title tells apart the ways of ending, which share a resource."""
    return finding.title or finding.resource


def _find(audit: Audit, title: str) -> Finding | None:
    return next((finding for finding in audit.findings if _title(finding) == title), None)


def _titles(left: Audit, right: Audit) -> list[str]:
    """Each row once: what leaks on either side first."""
    order = list(Verdict)
    rank: dict[str, int] = {}
    for finding in (*left.findings, *right.findings):
        place = {Verdict.LEAK: 0, Verdict.UNDECIDED: 1}.get(finding.verdict, len(order))
        rank[_title(finding)] = min(place, rank.get(_title(finding), place))
    return sorted(rank, key=lambda title: rank[title])


def _cell(finding: Finding | None) -> Text:
    if finding is None:
        return Text(figures.DASH)
    label = Text(_summary.LABELS[finding.verdict], style=STYLES[finding.verdict])
    if finding.verdict is Verdict.CLEAN:
        return label
    detail = finding.evidence if finding.verdict is Verdict.NOT_JUDGED else _summary.rate_or_shape(finding)
    return label.append(_text(f"  {detail}", most=160, style="not bold"))


def _names(left: Audit, right: Audit) -> tuple[str, str]:
    """What tells the two apart: their names, or the words that only one of the command lines has."""
    names = _summary.name_of(left), _summary.name_of(right)
    if names[0] != names[1]:
        return names
    words = [set(audit.plan.command or ()) for audit in (left, right)]
    own = [
        " ".join(word for word in (audit.plan.command or ()) if word not in words[1 - side])
        for side, audit in enumerate((left, right))
    ]
    return f"{names[0]} {own[0]}".strip(), f"{names[1]} {own[1]}".strip()
