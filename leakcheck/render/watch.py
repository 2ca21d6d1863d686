"""A watch on the terminal: one table that lives, or plain lines where there is no terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from leakcheck.model.finding import Finding, Per, Verdict
from leakcheck.model.moment import Moment
from leakcheck.model.reading import totals
from leakcheck.render import _summary, figures
from leakcheck.render._visible import visible
from leakcheck.render.live import READER_GONE
from leakcheck.render.terminal import STYLES

PLUGIN = False

_REFRESH_SECONDS = 2.0
"""Drawing 24 lines takes 4 ms."""
_HEARTBEAT_SECONDS = 60.0
_AROUND = 6
"""Lines that are no rows: three above the table, its head, the one that says what is left out, and the last."""
_COLUMNS = (("now", 9), ("since start", 11), ("per hour", 10))


class WatchView:
    """Shows each moment of one watch on a console, best one on standard error. Use it as a context manager.

    Once the console can't be written to it is silent: showing never ends a watch.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_live = console.is_terminal and not console.is_dumb_terminal
        self._live: Live | None = None
        self._moment: Moment | None = None
        self._shown_at = float("-inf") if self._is_live else 0.0
        self._verdicts: dict[str, Verdict] = {}
        self._gone = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last screen, and give the terminal back."""
        if self._live is not None:
            self._guard(self._refresh)
            self._guard(self._live.stop)

    def show(self, moment: Moment) -> None:
        """Show a moment, at most every other second; new verdicts at once."""
        is_judged = self._moment is None or self._moment.audit is not moment.audit
        self._moment = moment
        if self._is_live:
            if is_judged or moment.elapsed_seconds - self._shown_at >= _REFRESH_SECONDS:
                self._shown_at = moment.elapsed_seconds
                self._guard(self._refresh)
            return
        for line in self._lines(moment, is_judged=is_judged):
            self._guard(lambda line=line: self._print(line))  # type: ignore[misc]

    def _refresh(self) -> None:
        if self._moment is None:
            return
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            self._live.start()
        self._live.update(screen(self._moment, self._console.size.height), refresh=True)

    def _lines(self, moment: Moment, *, is_judged: bool) -> Iterator[str]:
        """Give one line for each verdict that changed, and a sign of life each minute."""
        at = figures.seconds(round(moment.elapsed_seconds))
        for finding in moment.audit.findings if is_judged else ():
            before = self._verdicts.get(finding.resource, Verdict.UNDECIDED)
            self._verdicts[finding.resource] = finding.verdict
            if finding.verdict not in (before, Verdict.NOT_JUDGED):
                told = (_summary.LABELS[finding.verdict], _per_hour(finding, "an hour"), _ahead(finding))
                yield f"{at}  {visible(finding.resource, 100)}: {'; '.join(part for part in told if part)}"
        if moment.elapsed_seconds - self._shown_at >= _HEARTBEAT_SECONDS:
            self._shown_at = moment.elapsed_seconds
            yield f"{at}  {_summary.LABELS[moment.audit.verdict]} so far: {_headline(moment)}; {_cost(moment)}"

    def _print(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True, highlight=False, emoji=False)

    def _guard(self, write: Callable[[], object]) -> None:
        if self._gone:
            return
        try:
            write()
        except READER_GONE:
            self._gone = True


def screen(moment: Moment, height: int) -> Group:
    """Draw what fits on a screen of so many lines: who is watched, the verdicts so far, and each resource."""
    audit = moment.audit
    rows = [finding for finding in audit.findings if finding.verdict is not Verdict.NOT_JUDGED]
    room = max(1, height - _AROUND)
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim", expand=True)
    table.add_column("resource", ratio=4, no_wrap=True, overflow="ellipsis")
    for name, width in _COLUMNS:
        table.add_column(name, width=width, justify="right", no_wrap=True)
    table.add_column("verdict", width=9, no_wrap=True)
    table.add_column("forecast", ratio=5, no_wrap=True, overflow="ellipsis")
    now = totals(moment.look.snapshot)
    for finding in rows[:room]:
        table.add_row(*_row(finding, now.get(finding.resource), moment.first.get(finding.resource)))
    left_out = figures.counted(len(rows) - room, "more resource") if len(rows) > room else ""
    hint = " · ".join(part for part in (left_out, "Ctrl-C ends the watch and writes its report") if part)
    return Group(_head(moment), _sofar(moment), "", table, Text(hint, style="dim", no_wrap=True, overflow="ellipsis"))


def _head(moment: Moment) -> Text:
    name = visible(_summary.name_of(moment.audit), 40)
    spent = figures.seconds(round(moment.elapsed_seconds))
    line = Text.assemble(("● ", "cyan"), (name, "bold"), f"  watched for {spent}", (f"  ·  {_cost(moment)}", "dim"))
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _sofar(moment: Moment) -> Text:
    verdict = moment.audit.verdict
    age = figures.seconds(round(moment.elapsed_seconds - moment.judged_seconds))
    line = Text.assemble((_summary.LABELS[verdict], STYLES[verdict]), f" so far: {_headline(moment)}")
    line.append(f"  ({age} ago)", style="dim")
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _headline(moment: Moment) -> str:
    """What the verdicts say, without the operations that nobody played."""
    counted = {verdict: len(_summary.of_verdict(moment.audit, verdict)) for verdict in Verdict}
    names = {Verdict.LEAK: "leaking", Verdict.UNDECIDED: "undecided", Verdict.CLEAN: "clean"}
    told = ", ".join(f"{counted[verdict]} {name}" for verdict, name in names.items() if counted[verdict])
    return f"{told or 'nothing judged'}, by {figures.counted(len(moment.audit.rounds), 'floor')}"


def _cost(moment: Moment) -> str:
    return f"costs {figures.share(moment.cpu_share)} of a core, {figures.quantity(moment.resident_bytes, 'bytes')}"


def _row(finding: Finding, now: float | None, first: float | None) -> Iterator[Text]:
    unit = "bytes" if finding.unit == "bytes" else ""
    yield Text(visible(finding.resource, 100))
    yield Text(figures.DASH if now is None else _amount(now, unit))
    since = None if now is None or first is None else now - first
    yield Text(figures.DASH if since is None else f"{'+' if since > 0 else ''}{_amount(since, unit)}")
    yield Text(_per_hour(finding, ""))
    yield Text(_summary.LABELS[finding.verdict], style=STYLES[finding.verdict])
    if finding.verdict is Verdict.UNDECIDED:
        yield Text(visible(finding.evidence, 100), style="dim")
    else:
        yield Text(_ahead(finding))


def _amount(value: float, unit: str) -> str:
    return figures.quantity(value, unit).strip()


def _per_hour(finding: Finding, word: str) -> str:
    """Growth an hour: that of a leak, or what a clean verdict leaves open; a watch has rates by time only."""
    one, sign = (finding.rate, "") if finding.rate is not None else (finding.detectable, "< ")
    if one is None or one.per is not Per.SECOND or finding.verdict is Verdict.UNDECIDED:
        return ""
    value = 3600 * one.value
    shown = round(value) if value >= 10 else value
    return f"{sign}{_amount(shown, 'bytes' if one.unit == 'bytes' else '')} {word}".strip()


def _ahead(finding: Finding) -> str:
    """The forecast without the limit's value."""
    return visible(finding.forecast.sentence.partition(", limit")[0], 100) if finding.forecast else ""
