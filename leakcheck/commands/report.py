"""`leakcheck report` and `leakcheck compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from leakcheck import results
from leakcheck.render.terminal import open_console, side_by_side

_HELP = """Print an audit again and write its report.html and audit.json anew.

\b
It reads audit.json or, where the auditor was killed, journal.jsonl alone:
  leakcheck report .leakcheck/20261122-184907-my-server-4242
"""


def register(app: typer.Typer) -> None:
    """Add both to the command line."""
    app.command("report", help=_HELP, short_help="Print an audit again, also a killed one.")(_report)
    app.command("compare")(_compare)


def _report(
    *,
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="An audit's, or its audit.json or journal.jsonl.")],
    json: Annotated[bool, typer.Option("--json", help="Print audit.json instead of the report.")] = False,
) -> None:
    """Carry out `leakcheck report`."""
    directory, audit = results.load(source)
    results.show(audit, print_json=json)
    results.write_reports(directory, audit)


def _compare(
    *,
    left: Annotated[Path, typer.Argument(metavar="FOLDER", help="An audit's, or its audit.json or journal.jsonl.")],
    right: Annotated[Path, typer.Argument(metavar="FOLDER", help="Another one's.")],
) -> None:
    """Print the verdicts of two audits side by side."""
    side_by_side(results.load(left)[1], results.load(right)[1], open_console())
