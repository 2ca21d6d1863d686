"""`leakcheck sweep`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import psutil
import typer

from leakcheck.commands.keeping import EXIT_INTERRUPTED
from leakcheck.credentials import Secrets, in_command, in_environment
from leakcheck.interruption import Interruptible
from leakcheck.model.sweep import ClaimVerdict, Outcome, Point, Sweep
from leakcheck.render import sweep_html, sweep_json, sweep_markdown
from leakcheck.render.sweep_terminal import Progress, print_sweep
from leakcheck.render.terminal import open_console, print_plain
from leakcheck.store import write_whole
from leakcheck.sweep.concluding import conclude
from leakcheck.sweep.measuring import Bench
from leakcheck.sweep.parsing import load
from leakcheck.sweep.plan import CommandWork, SweepPlan
from leakcheck.sweep.points import Points
from leakcheck.sweep.sweeping import planned, sweep

_HELP = """Measure what a server costs as what it stores grows: memory, disk, time, per item.

\b
PLAN is a TOML file: sizes, how to start the server, what fills it, what is
measured, and what is claimed of it. Every variant is started at every size in
a folder of its own, filled, measured, left alone, and ended.

\b
  leakcheck sweep plan.toml
  leakcheck sweep plan.toml --out results --again

\b
Files, in --out: sweep.html, sweep.md, sweep.json, points/ (each run), logs/.
A run that is in points/ already is not made again, so a sweep that was
interrupted goes on where it was. A run whose memory passes the plan's `cap` is
stopped; the sizes beyond it are projected and marked.

\b
Exit codes:
  0    measured
  2    wrong usage or a wrong plan
  3    something could not be measured: a run failed, or a claim has no figure
  130  interrupted; what was measured is kept and reported
"""
_UNMEASURED = 3


def register(app: typer.Typer) -> None:
    """Add it to the command line."""
    app.command("sweep", help=_HELP, short_help="Measure what a server costs as it grows.")(_command)


def _command(
    *,
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A TOML file.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the files go. [default: .leakcheck/sweep-NAME]", show_default=False),
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure anew what is kept from before.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print sweep.json instead of the tables.")] = False,
) -> None:
    """Carry out `leakcheck sweep`."""
    read = load(plan, psutil.virtual_memory().total)
    directory = out or Path(".leakcheck") / f"sweep-{''.join(c if c.isalnum() else '-' for c in read.name)[:40]}"
    raise typer.Exit(_swept(read, directory, again=again, print_json=json))


def _swept(plan: SweepPlan, directory: Path, *, again: bool, print_json: bool) -> int:
    secrets = _secrets(plan)
    bench = Bench(plan=plan, directory=directory.resolve(), secrets=secrets)
    points: list[Point] = []
    ended = "finished"
    with Interruptible() as interruptible:
        kept = Points(directory)
        progress = Progress(open_console(stderr=True), planned(bench))
        try:
            for point in sweep(bench, kept, progress, again=again):
                points.append(point)  # noqa: PERF402 - what came before an interruption is kept
        except KeyboardInterrupt:
            ended = "interrupted"
        finally:
            progress.close()
        interruptible.ignore()
        found = conclude(plan, points, ended, secrets)
        for one in (sweep_json, sweep_markdown, sweep_html):
            write_whole(directory / one.FILE, one.render(found))
    console = open_console()
    if print_json:
        print_plain(sweep_json.render(found).decode(), console)
    else:
        print_sweep(found, str(directory), console)
    return _exit_code(found)


def _exit_code(found: Sweep) -> int:
    if found.ended != "finished":
        return EXIT_INTERRUPTED
    known = {(one.variant, cell.size) for one in found.series for cell in one.cells if cell.value is not None}
    missing = any(
        point.outcome is Outcome.FAILED or (point.variant, point.size) not in known
        for point in found.points
        if point.size
    )
    unmeasured = any(one.verdict is ClaimVerdict.NOT_MEASURED for one in found.claims)
    return _UNMEASURED if missing or unmeasured else 0


def _secrets(plan: SweepPlan) -> Secrets:
    commands = [variant.command for variant in plan.variants]
    works = [work for variant in plan.variants for work in (variant.fill, variant.measure)]
    commands += [work.command for work in works if isinstance(work, CommandWork)]
    given = [in_environment({**os.environ, **variant.environment}) for variant in plan.variants]
    return Secrets(
        (*(value for argv in commands for value in in_command(argv)), *(one for all_ in given for one in all_))
    )
