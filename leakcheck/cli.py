"""The composition root: one thin function per command."""

from __future__ import annotations

import datetime as dt
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from leakcheck import __version__, composition, config, inspection, project, results, selftest, store, watch_config
from leakcheck.audit import closing
from leakcheck.credentials import Secrets
from leakcheck.drivers.ports import free_port
from leakcheck.errors import LeakcheckError, TargetError, UsageError
from leakcheck.interruption import Interruptible
from leakcheck.model.event import Ended, Planned, Warned
from leakcheck.model.finding import Verdict
from leakcheck.options import Options
from leakcheck.render.terminal import open_console, side_by_side
from leakcheck.verdicts import conclude

_HELP = """Finds resource leaks in long-running servers under load, and proves it.

\b
Try it on a server of yours; it prints a verdict and leaves an HTML report:
  leakcheck audit --mcp stdio -- COMMAND
  leakcheck audit --mcp http://127.0.0.1:{port}/mcp -- COMMAND
  leakcheck audit --request 'GET http://127.0.0.1:{port}/' -- COMMAND
"""
_AUDIT_HELP = """Start a server (or take a running one), make it work, judge what it leaks, and report.

\b
COMMAND is the server's, after the options; {port} in it becomes a free port.
One of --mcp, --request, --drive and --locustfile says what makes the server
work. --mcp URL and --locustfile need Locust: pip install
'mimo-leakcheck[load]'.

\b
Examples:
  An MCP server over stdin and stdout; the tools it declares read-only and
  closed-world are called:
    leakcheck audit --mcp stdio -- my-mcp-server --quiet
  An MCP server over HTTP, which promises to forget a session after 5 s:
    leakcheck audit --mcp http://127.0.0.1:{port}/mcp --session-idle 5s \\
        -- my-mcp-server --http 127.0.0.1:{port}
  A web service, with two requests, for two minutes:
    leakcheck audit --budget 2m \\
        --request 'GET http://127.0.0.1:{port}/' \\
        --request 'POST http://127.0.0.1:{port}/items {"name": "x"}' \\
        -- python -m my_service --port {port}
  Any server, one that runs already too, worked by a command of yours:
    leakcheck audit --drive 'my-load-test --once' --pid 4242

\b
Files, in --out: report.html, audit.json, journal.jsonl (each event as it
happens), target.log (what the server printed).
Every option can stand in [tool.leakcheck] of pyproject.toml, by its name;
the command line wins.

\b
Exit codes:
  0    clean: no leak, down to the rate that the report names
  1    leak
  2    wrong usage, or the server could not be started or never answered
  3    undecided, or nothing could be judged
  130  interrupted; what was seen is kept and reported
"""
_WATCH_HELP = """Look at a process that somebody else works, and judge what it leaks; nothing is driven.

\b
  leakcheck watch 4242
  leakcheck watch 4242 --for 8h --serve 127.0.0.1:9400

\b
Ctrl-C is the normal end: it leaves what an audit leaves (report.html,
audit.json, journal.jsonl) and the exit code is the verdict's. The longer it
runs, the rarer are the floors that are kept, at most 240.
--serve gives /audit.json, /metrics (OpenMetrics) and / (the report so far).

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
_REPORT_HELP = """Print an audit again and write its report.html and audit.json anew.

\b
It reads audit.json or, where the auditor was killed, journal.jsonl alone:
  leakcheck report .leakcheck/20261122-184907-my-server-4242
"""
_PROBES_HELP = """List what can be read of a process; with --pid, read it and say what that costs.

\b
  leakcheck probes --pid 4242
"""

app = typer.Typer(
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
EXIT_CODES = {Verdict.CLEAN: 0, Verdict.LEAK: 1, Verdict.UNDECIDED: 3, Verdict.NOT_JUDGED: 3}
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
_OPTIONS_FIRST = {"allow_interspersed_args": False}
"""What follows the first word of COMMAND is COMMAND's, also without `--`."""


@app.callback(invoke_without_command=True)
def _root(*, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"leakcheck {__version__}")
        raise typer.Exit


@app.command(
    "audit", help=_AUDIT_HELP, short_help="Make a server work and judge what it leaks.", context_settings=_OPTIONS_FIRST
)
def audit_command(  # noqa: PLR0913 - each option of the command line is one parameter
    *,
    command: Annotated[list[str] | None, typer.Argument(metavar="[--] COMMAND", hidden=True)] = None,
    pid: Annotated[
        int | None, typer.Option(metavar="PID", help="Audit this process, which runs already.", show_default=False)
    ] = None,
    mcp: Annotated[
        str | None,
        typer.Option(
            metavar="stdio|URL", help="Speak MCP with it, over stdin and stdout or over HTTP.", show_default=False
        ),
    ] = None,
    request: Annotated[
        list[str] | None,
        typer.Option(metavar="'METHOD URL'", help="Repeat this HTTP request. Again: one more.", show_default=False),
    ] = None,
    drive: Annotated[
        str | None,
        typer.Option(metavar="'COMMAND'", help="Run this again and again to make the load.", show_default=False),
    ] = None,
    locustfile: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Play the tasks of this locustfile, each apart.", show_default=False),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Of the users of --locustfile that name none.", show_default=False),
    ] = None,
    session_idle: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When the server ends an idle session, as it promises.", show_default=False),
    ] = None,
    session_limit: Annotated[
        int | None,
        typer.Option(metavar="N", help="How many sessions it keeps at most, as it promises.", show_default=False),
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(metavar="URL", help="Judge each gauge of this metrics page too.", show_default=False)
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOOL", help="Call this MCP tool whatever it declares. Again: one more.", show_default=False
        ),
    ] = None,
    allow_open_world: Annotated[
        bool | None,
        typer.Option(
            "--allow-open-world", help="Call read-only tools that may reach other machines.", show_default=False
        ),
    ] = None,
    allow_destructive: Annotated[
        bool | None,
        typer.Option("--allow-destructive", help="Call tools that may change or delete things.", show_default=False),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Option(metavar="TOOL=JSON", help="Call TOOL with these: add='{\"a\": 1}'.", show_default=False),
    ] = None,
    undo: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOOL[=JSON]", help="Call TOOL after each round, to delete what it stored.", show_default=False
        ),
    ] = None,
    outside: Annotated[
        bool | None,
        typer.Option("--outside", help="Put no agent inside Python and Node processes of COMMAND.", show_default=False),
    ] = None,
    inside: Annotated[
        bool | None,
        typer.Option(
            "--inside", help="With --pid: put an agent inside it (Python 3.14 and later).", show_default=False
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'NAME: $VAR'", help="Send this header; its value is kept out of all files.", show_default=False
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Set this variable for the server.", show_default=False),
    ] = None,
    cwd: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Start the server in this folder.", show_default=False)
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="From the first answer to the verdict. [default: 60s]", show_default=False),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(metavar="N", help="Play this many rounds, instead of a --budget.", show_default=False),
    ] = None,
    operations: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Play this many operations of each kind a round, on average.", show_default=False
        ),
    ] = None,
    ready_timeout: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="How long the first answer may take. [default: 30s]", show_default=False),
    ] = None,
    grace: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="How long an end may take, of the server too. [default: 5s]", show_default=False
        ),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Do not play this: call:TOOL, session, reject, disconnect, cancel, abandon.",
            show_default=False,
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RESOURCE", help="Do not judge this; `leakcheck probes` lists the names.", show_default=False
        ),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(metavar="RESOURCE", help="Be undecided if this cannot be judged.", show_default=False),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="Draws how much each round plays. [default: 1]", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="What reports call the server.", show_default=False)
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Where the files go. [default: .leakcheck/DATE-NAME-PID]", show_default=False
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print audit.json instead of the report.")] = False,
) -> None:
    """Carry out `leakcheck audit`."""
    options = Options(
        command=tuple(command or ()),
        pid=pid,
        mcp=mcp,
        request=tuple(request or ()),
        drive=drive,
        locustfile=locustfile,
        host=host,
        session_idle=session_idle,
        session_limit=session_limit,
        metrics=metrics,
        tool=tuple(tool or ()),
        allow_open_world=allow_open_world,
        allow_destructive=allow_destructive,
        arguments=tuple(arguments or ()),
        undo=tuple(undo or ()),
        inside=inside,
        outside=outside,
        header=tuple(header or ()),
        env=tuple(env or ()),
        cwd=cwd,
        budget=budget,
        rounds=rounds,
        operations=operations,
        ready_timeout=ready_timeout,
        grace=grace,
        skip=tuple(skip or ()),
        exclude=tuple(exclude or ()),
        require=tuple(require or ()),
        seed=seed,
        name=name,
        out=out,
    )
    raise typer.Exit(_audit(options, print_json=json))


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


@app.command("watch", help=_WATCH_HELP, short_help="Look at a running process, and judge what it leaks.")
def watch_command(  # noqa: PLR0913 - each option of the command line is one parameter
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
    raise typer.Exit(_watch(options, every=every, serve=serve, print_json=json))


@app.command(
    "run", help=_RUN_HELP, short_help="Start a command, and watch it until it ends.", context_settings=_OPTIONS_FIRST
)
def run_command(  # noqa: PLR0913 - each option of the command line is one parameter
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
    raise typer.Exit(_watch(options, every=every, serve=serve, print_json=json))


@app.command("report", help=_REPORT_HELP, short_help="Print an audit again, also a killed one.")
def report_command(
    *,
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="An audit's, or its audit.json or journal.jsonl.")],
    json: Annotated[bool, typer.Option("--json", help="Print audit.json instead of the report.")] = False,
) -> None:
    """Carry out `leakcheck report`."""
    directory, audit = results.load(source)
    results.show(audit, print_json=json)
    results.write_reports(directory, audit)


@app.command("compare")
def compare_command(
    *,
    left: Annotated[Path, typer.Argument(metavar="FOLDER", help="An audit's, or its audit.json or journal.jsonl.")],
    right: Annotated[Path, typer.Argument(metavar="FOLDER", help="Another one's.")],
) -> None:
    """Print the verdicts of two audits side by side."""
    side_by_side(results.load(left)[1], results.load(right)[1], open_console())


@app.command("selftest", help=selftest.HELP, short_help="Plant known leaks here, and show what is found.")
def selftest_command(
    *,
    only: Annotated[list[str] | None, typer.Option(metavar="NAME", help=selftest.ONLY_HELP, show_default=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Carry out `leakcheck selftest`."""
    raise typer.Exit(selftest.selftest(tuple(only or ()), json))


@app.command("probes", help=_PROBES_HELP, short_help="List what can be read, and what that costs.")
def probes_command(
    *,
    pid: Annotated[
        int | None, typer.Option(metavar="PID", help="Read this process and all below it.", show_default=False)
    ] = None,
    times: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="Look this often.")] = 100,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Carry out `leakcheck probes`."""
    inspection.show(pid, times, open_console(), print_json=json)


def _audit(options: Options, *, print_json: bool) -> int:
    options = project.merged(options, Path("pyproject.toml"))
    setup = config.plan(options, free_port(), _directory(options))
    return _kept(setup, partial(composition.carry_out, setup), print_json=print_json)


def _watch(options: Options, *, every: str | None, serve: str | None, print_json: bool) -> int:
    kept = project.merged(Options(exclude=options.exclude, require=options.require), Path("pyproject.toml"))
    options = replace(options, exclude=kept.exclude, require=kept.require)
    watched = watch_config.plan(options, every=every, serve=serve, port=free_port(), directory=_directory(options))
    return _kept(watched.setup, partial(composition.watch_over, watched), print_json=print_json)


def _kept(
    setup: config.Setup, carry_out: Callable[[Secrets, store.Journal, Interruptible], None], *, print_json: bool
) -> int:
    """Carry out an audit or a watch, keep what was seen however it ends, show it, and return the exit code."""
    directory, secrets = Path(setup.plan.directory), Secrets(setup.secret_values)
    unwritten: LeakcheckError | None = None
    try:
        composition.check_ports(setup)
        composition.check_inside(setup)
        with store.Journal(directory, secrets) as journal, Interruptible() as interruptible:
            try:
                carry_out(secrets, journal, interruptible)
            except KeyboardInterrupt:  # while the target was started or stopped; further signals are ignored by now
                if not any(isinstance(event, Planned) for event in journal.events):
                    raise
            except (UsageError, TargetError) as error:  # told below; `leakcheck report` tells it again
                journal.write(Warned(message=str(error)))
                journal.write(closing("not begun"))
                raise
            if not any(isinstance(event, Ended) for event in journal.events):
                journal.write(closing("interrupted"))
            audit = conclude(journal.events)
            try:
                results.write_reports(directory, audit)
            except LeakcheckError as error:  # shown all the same
                unwritten = error
    except LeakcheckError as error:
        raise type(error)(secrets.hide(str(error))) from None
    results.show(audit, print_json=print_json)
    if unwritten is not None:
        raise unwritten
    return EXIT_INTERRUPTED if audit.tool.ended == "interrupted" else EXIT_CODES[audit.verdict]


def _directory(options: Options) -> Path:
    if options.out:
        return Path(options.out)
    stamp = dt.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    words = "".join(c if c.isalnum() else "-" for c in (options.name or config.default_name(options)))
    return Path(".leakcheck") / f"{stamp}-{words.strip('-')[:40]}-{os.getpid()}"


def main() -> None:
    """Run the command line; every error of ours is one message and exit code 2."""
    try:
        app()
    except LeakcheckError as error:
        sys.stderr.write(f"leakcheck: {Secrets().hide(str(error))}\n")
        raise SystemExit(EXIT_USAGE) from None
