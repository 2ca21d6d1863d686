"""`leakcheck audit`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from leakcheck import composition, config, project
from leakcheck.commands.keeping import OPTIONS_FIRST, directory_of, kept
from leakcheck.drivers.ports import free_port
from leakcheck.options import Options

_HELP = """Start a server (or take a running one), make it work, judge what it leaks, and report.

\b
COMMAND is the server's, after the options; {port} in it becomes a free port.
One of --mcp, --request, --drive and --locustfile says what makes the server
work; without one, a command without {port} is an MCP server over stdin and
stdout (--mcp stdio). --mcp URL and --locustfile need Locust: pip install
'mimo-leakcheck[load]'.

\b
Examples:
  An MCP server over stdin and stdout; the tools it declares read-only and
  closed-world are called:
    leakcheck audit -- my-mcp-server --quiet
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


def register(app: typer.Typer) -> None:
    """Add it to the command line."""
    short = "Make a server work and judge what it leaks."
    app.command("audit", help=_HELP, short_help=short, context_settings=OPTIONS_FIRST)(_command)


def _command(  # noqa: PLR0913 - each option of the command line is one parameter
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


def _audit(options: Options, *, print_json: bool) -> int:
    options = project.merged(options, Path("pyproject.toml"))
    setup = config.plan(options, free_port(), directory_of(options))
    return kept(setup, partial(composition.carry_out, setup), print_json=print_json)
