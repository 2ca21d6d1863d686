"""`leakcheck selftest`."""

from __future__ import annotations

from typing import Annotated

import typer

from leakcheck import selftest


def register(app: typer.Typer) -> None:
    """Add it to the command line."""
    app.command("selftest", help=selftest.HELP, short_help="Plant known leaks here, and show what is found.")(_command)


def _command(
    *,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help=selftest.ONLY_HELP, show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Carry out `leakcheck selftest`."""
    raise typer.Exit(selftest.selftest(tuple(only or ()), json))
