"""`leakcheck probes`."""

from __future__ import annotations

from typing import Annotated

import typer

from leakcheck import inspection
from leakcheck.render.terminal import open_console

_HELP = """List what can be read of a process; with --pid, read it and say what that costs.

\b
  leakcheck probes --pid 4242
"""


def register(app: typer.Typer) -> None:
    """Add it to the command line."""
    app.command("probes", help=_HELP, short_help="List what can be read, and what that costs.")(_command)


def _command(
    *,
    pid: Annotated[
        int | None, typer.Option(metavar="PID", help="Read this process and all below it.", show_default=False)
    ] = None,
    times: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Look this often.")] = 100,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Carry out `leakcheck probes`."""
    inspection.show(pid, times, open_console(), print_json=json)
