"""The command line: one file of commands/ for each command, in the order of the help."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from leakcheck import __version__
from leakcheck.commands import audit, probes, report, selftest, sweep, watch
from leakcheck.credentials import Secrets
from leakcheck.errors import LeakcheckError

_HELP = """Finds resource leaks in long-running servers under load, and proves it.

\b
Try it on a server of yours; it prints a verdict and leaves an HTML report:
  leakcheck audit -- COMMAND
  leakcheck audit --mcp http://127.0.0.1:{port}/mcp -- COMMAND
  leakcheck audit --request 'GET http://127.0.0.1:{port}/' -- COMMAND
"""

app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
EXIT_USAGE = 2


@app.callback(invoke_without_command=True)
def _root(*, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"leakcheck {__version__}")
        raise typer.Exit


for _command in (audit, watch, sweep, report, selftest, probes):
    _command.register(app)


def main() -> None:
    """Run the command line; every error of ours is one message and exit code 2."""
    try:
        app()
    except LeakcheckError as error:
        sys.stderr.write(f"leakcheck: {Secrets().hide(str(error))}\n")
        raise SystemExit(EXIT_USAGE) from None
