"""`leakcheck watch` and `leakcheck run`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from leakcheck import composition, project, watch_config
from leakcheck.commands.keeping import OPTIONS_FIRST, directory_of, kept
from leakcheck.drivers.ports import free_port
from leakcheck.options import Options

_WATCH_HELP = """Look at a process that somebody else works, and judge what it leaks; nothing is driven.

\b
  leakcheck watch 4242
  leakcheck watch 4242 --for 8h --serve 127.0.0.1:9400

\b
Ctrl-C is the normal end: it leaves what an audit leaves (report.html,
audit.json, journal.jsonl) and the exit code is the verdict's. The longer it
runs, the rarer are the floors that are kept, at most 240.
--serve gives /audit.json, /metrics (OpenMetrics), /charts, which move, and /
(the report so far).

\b
Exit codes: 0 clean, 1 leak, 2 wrong usage or no such process, 3 undecided.
"""
_RUN_HELP = """Start a command and watch it until it ends, or until Ctrl-C ends both.

\b
  leakcheck run -- python my_server.py
  leakcheck run --for 10m -- sh -c 'tail -F log | my-filter'

\b
What the command prints goes to target.log. Everything else is as for
`leakcheck watch`; what outlives the command is reported too.
"""


def register(app: typer.Typer) -> None:
    """Add both to the command line."""
    app.command("watch", help=_WATCH_HELP, short_help="Look at a running process, and judge what it leaks.")(_watch)
    short = "Start a command, and watch it until it ends."
    app.command("run", help=_RUN_HELP, short_help=short, context_settings=OPTIONS_FIRST)(_run)


_Metrics = Annotated[
    str | None, typer.Option(metavar="URL", help="Judge each gauge of this metrics page too.", show_default=False)
]
_Every = Annotated[
    str | None, typer.Option(metavar="TIME", help="Between floors, at first. [default: 5s]", show_default=False)
]
_For = Annotated[
    str | None, typer.Option("--for", metavar="TIME", help="End after so long by itself.", show_default=False)
]
_Serve = Annotated[
    str | None,
    typer.Option(metavar="127.0.0.1:PORT", help="Serve verdicts and values there; PORT 0: any.", show_default=False),
]
_Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="RESOURCE", help="Do not judge this; `leakcheck probes` lists the names.", show_default=False),
]
_Require = Annotated[
    list[str] | None,
    typer.Option(metavar="RESOURCE", help="Be undecided if this cannot be judged.", show_default=False),
]
_Name = Annotated[str | None, typer.Option(metavar="NAME", help="What reports call the target.", show_default=False)]
_Out = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="Where the files go. [default: .leakcheck/DATE-NAME-PID]", show_default=False),
]
_Json = Annotated[bool, typer.Option("--json", help="Print audit.json instead of the report.")]


def _watch(  # noqa: PLR0913 - each option of the command line is one parameter
    *,
    pid: Annotated[int, typer.Argument(metavar="PID", help="Watch this process and all below it.")],
    metrics: _Metrics = None,
    every: _Every = None,
    for_: _For = None,
    serve: _Serve = None,
    exclude: _Exclude = None,
    require: _Require = None,
    name: _Name = None,
    out: _Out = None,
    json: _Json = False,
) -> None:
    """Carry out `leakcheck watch`."""
    options = Options(
        pid=pid,
        metrics=metrics,
        budget=for_,
        exclude=tuple(exclude or ()),
        require=tuple(require or ()),
        name=name,
        out=out,
    )
    raise typer.Exit(_watched(options, every=every, serve=serve, print_json=json))


def _run(  # noqa: PLR0913 - each option of the command line is one parameter
    *,
    command: Annotated[list[str] | None, typer.Argument(metavar="[--] COMMAND", hidden=True)] = None,
    metrics: _Metrics = None,
    every: _Every = None,
    for_: _For = None,
    serve: _Serve = None,
    exclude: _Exclude = None,
    require: _Require = None,
    name: _Name = None,
    out: _Out = None,
    json: _Json = False,
) -> None:
    """Carry out `leakcheck run`."""
    options = Options(
        command=tuple(command or ()),
        metrics=metrics,
        budget=for_,
        exclude=tuple(exclude or ()),
        require=tuple(require or ()),
        name=name,
        out=out,
    )
    raise typer.Exit(_watched(options, every=every, serve=serve, print_json=json))


def _watched(options: Options, *, every: str | None, serve: str | None, print_json: bool) -> int:
    told = project.merged(Options(exclude=options.exclude, require=options.require), Path("pyproject.toml"))
    options = replace(options, exclude=told.exclude, require=told.require)
    watched = watch_config.plan(options, every=every, serve=serve, port=free_port(), directory=directory_of(options))
    return kept(watched.setup, partial(composition.watch_over, watched), print_json=print_json)
