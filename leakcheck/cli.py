"""The composition root: one thin function per command."""

from __future__ import annotations

import datetime as dt
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from leakcheck import __version__, config, inspection, store
from leakcheck.audit import Parts, run
from leakcheck.credentials import Secrets
from leakcheck.drivers import Driver
from leakcheck.drivers.command import CommandDriver
from leakcheck.drivers.http import HttpDriver
from leakcheck.drivers.ports import free_port, port_is_taken
from leakcheck.drivers.stdio import StdioDriver
from leakcheck.errors import LeakcheckError, UsageError
from leakcheck.model.audit import Audit
from leakcheck.model.event import Event
from leakcheck.model.finding import Verdict
from leakcheck.model.plan import DriverKind
from leakcheck.probes import Setting
from leakcheck.render import renderer
from leakcheck.render.live import Narrator
from leakcheck.render.terminal import open_console, print_audit, side_by_side
from leakcheck.snapshots import Looker
from leakcheck.targets import Target
from leakcheck.targets.running import Running
from leakcheck.targets.spawn import Spawned
from leakcheck.targets.tree import parent_of
from leakcheck.verdicts import conclude

app = typer.Typer(
    help="Finds resource leaks in long-running servers under load, and proves it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
EXIT_CODES = {Verdict.CLEAN: 0, Verdict.LEAK: 1, Verdict.UNDECIDED: 3, Verdict.NOT_JUDGED: 3}
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


@app.callback(invoke_without_command=True)
def _root(*, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"leakcheck {__version__}")
        raise typer.Exit


@app.command("audit")
def audit_command(  # noqa: PLR0913 - each option of the command line is one parameter
    *,
    command: Annotated[
        list[str] | None, typer.Argument(help="The server's command, after `--`.", show_default=False)
    ] = None,
    pid: Annotated[
        int | None, typer.Option(help="Audit a process that is running already.", show_default=False)
    ] = None,
    mcp: Annotated[
        str | None, typer.Option(help="'stdio': hold an MCP conversation with it.", show_default=False)
    ] = None,
    request: Annotated[
        list[str] | None,
        typer.Option(
            help="Repeat this HTTP request: 'GET http://127.0.0.1:{port}/'. May be given again.", show_default=False
        ),
    ] = None,
    drive: Annotated[
        str | None, typer.Option(help="Run this command again and again: it makes the load.", show_default=False)
    ] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Judge every gauge of this OpenMetrics page.", show_default=False)
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(help="Call this MCP tool whatever it declares. May be given again.", show_default=False),
    ] = None,
    allow_open_world: Annotated[
        bool | None,
        typer.Option("--allow-open-world", help="Call read-only tools that reach outside.", show_default=False),
    ] = None,
    allow_destructive: Annotated[
        bool | None, typer.Option("--allow-destructive", help="Call every tool.", show_default=False)
    ] = None,
    arguments: Annotated[
        list[str] | None, typer.Option(metavar="TOOL=JSON", help="What to call a tool with.", show_default=False)
    ] = None,
    undo: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOOL[=JSON]", help="Call this tool after each round, to delete what it stored.", show_default=False
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="'Name: $VAR'", help="Send this header; its value is kept secret.", show_default=False),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Set this variable for the target.", show_default=False),
    ] = None,
    cwd: Annotated[str | None, typer.Option(help="Start the target in this folder.", show_default=False)] = None,
    budget: Annotated[
        str | None, typer.Option(help="Wall time from ready to verdict. [default: 60s]", show_default=False)
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(help="Fix the number of rounds; not with --budget.", show_default=False)
    ] = None,
    operations: Annotated[
        int | None, typer.Option(help="Fix the mean number of operations of each kind a round.", show_default=False)
    ] = None,
    ready_timeout: Annotated[
        str | None, typer.Option(help="How long the first answer may take. [default: 30s]", show_default=False)
    ] = None,
    grace: Annotated[
        str | None, typer.Option(help="How long what ends may take to end. [default: 5s]", show_default=False)
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Do not judge this resource, for example memory.", show_default=False)
    ] = None,
    require: Annotated[
        list[str] | None, typer.Option(help="Be undecided if this resource cannot be judged.", show_default=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Draws the doses of each round. [default: 1]", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="The target's name in reports.", show_default=False)] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder for the files. [default: .leakcheck/DATE-NAME]", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print audit.json to standard output.")] = False,
) -> None:
    """Drive a server, judge what it leaks, and report.

    Examples:
      leakcheck audit --mcp stdio -- npx -y @modelcontextprotocol/server-everything

      leakcheck audit --request 'GET http://127.0.0.1:{port}/' -- python -m http.server {port}

      leakcheck audit --drive 'my-load-test --once' --pid 4242

    Exit codes: 0 clean, 1 leak, 2 usage, 3 undecided or not judged, 130 interrupted.
    """
    options = config.Options(
        command=tuple(command or ()),
        pid=pid,
        mcp=mcp,
        request=tuple(request or ()),
        drive=drive,
        metrics=metrics,
        tool=tuple(tool or ()),
        allow_open_world=allow_open_world,
        allow_destructive=allow_destructive,
        arguments=tuple(arguments or ()),
        undo=tuple(undo or ()),
        header=tuple(header or ()),
        env=tuple(env or ()),
        cwd=cwd,
        budget=budget,
        rounds=rounds,
        operations=operations,
        ready_timeout=ready_timeout,
        grace=grace,
        exclude=tuple(exclude or ()),
        require=tuple(require or ()),
        seed=seed,
        name=name,
        out=out,
    )
    raise typer.Exit(_audit(options, print_json=json))


@app.command("report")
def report_command(
    *,
    source: Annotated[Path, typer.Argument(help="An audit's folder, its audit.json, or its journal.jsonl.")],
    json: Annotated[bool, typer.Option("--json", help="Print audit.json to standard output.")] = False,
) -> None:
    """Write the reports again, from audit.json or, after a crash, from the journal alone."""
    directory, audit = _load(source)
    _write_reports(directory, audit)
    _show(audit, print_json=json)


@app.command("compare")
def compare_command(
    *,
    left: Annotated[Path, typer.Argument(help="An audit: its folder or one of its files.")],
    right: Annotated[Path, typer.Argument(help="Another one.")],
) -> None:
    """Print the verdicts of two audits side by side."""
    side_by_side(_load(left)[1], _load(right)[1], open_console())


@app.command("probes")
def probes_command(
    *,
    pid: Annotated[
        int | None, typer.Option(help="Read this process and its tree, and say what looking costs.", show_default=False)
    ] = None,
    times: Annotated[int, typer.Option(min=1, max=1000, help="How often to look.")] = 100,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what can be read; with --pid, read it and say what a snapshot costs."""
    inspection.show(pid, times, open_console(), print_json=json)


def _audit(options: config.Options, *, print_json: bool) -> int:
    options = config.merged(options, Path("pyproject.toml"))
    directory = Path(options.out) if options.out else _default_directory(options)
    setup = config.plan(options, free_port(), directory)
    secrets = Secrets(setup.secret_values)
    with ExitStack() as stack:
        for url in [one.url for one in setup.plan.requests] if setup.plan.command else []:
            if port_is_taken(url):
                raise UsageError(
                    f"The port of '{url}' is taken before the target was started; use {{port}}, or free it"
                )
        journal = stack.enter_context(store.Journal(directory, secrets))
        temporary = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="leakcheck-", ignore_cleanup_errors=True))
        )
        narrator = stack.enter_context(Narrator(open_console(stderr=True)))

        def write(event: Event) -> None:
            journal.write(event)
            narrator.event(event, setup.plan.rounds)

        stack.enter_context(_interruptible())
        audit = store.masked(run(_parts(setup, secrets, directory, temporary, write), journal.events), secrets)
    _write_reports(directory, audit)
    _show(audit, print_json=print_json)
    return EXIT_INTERRUPTED if audit.tool.ended == "interrupted" else EXIT_CODES[audit.verdict]


def _parts(
    setup: config.Setup, secrets: Secrets, directory: Path, temporary: Path, write: Callable[[Event], None]
) -> Parts:
    plan = setup.plan

    def spawn(command: Sequence[str], environment: Mapping[str, str], log: str) -> Target:
        return Spawned(
            command,
            pipes=plan.driver is DriverKind.STDIO,
            environment={**_temporary(temporary), **setup.environment, **environment},
            cwd=plan.cwd,
            log_path=directory / log,
            secrets=secrets,
            grace_seconds=plan.grace_seconds,
        )

    def start() -> Target:
        return Running(plan.pid or 0, secrets) if plan.command is None else spawn(plan.command, {}, store.LOG)

    def looker(target: Target) -> Looker:
        return Looker(
            Setting(
                metrics_url=plan.metrics_url,
                headers=setup.headers,
                temporary=str(temporary) if plan.command else None,
                parent=parent_of(target.root.pid) if plan.command else None,
            )
        )

    def start_copy(*, through: tuple[str, ...], environment: Mapping[str, str]) -> Target:
        port = free_port()
        own = {"PORT": str(port)} if "PORT" in setup.environment else {}
        return spawn((*through, *config.filled(setup.template, port)), {**environment, **own}, "copies.log")

    drivers: dict[DriverKind, Callable[[], Driver]] = {
        DriverKind.STDIO: lambda: StdioDriver(plan, secrets, start_copy),
        DriverKind.HTTP: lambda: HttpDriver(plan, setup.headers, secrets),
        DriverKind.COMMAND: lambda: CommandDriver(plan, setup.environment, secrets),
    }
    return Parts(
        plan=plan,
        start=start,
        driver=drivers[plan.driver](),
        looker=looker,
        write=write,
    )


def _temporary(folder: Path) -> dict[str, str]:
    return dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(folder))


def _load(source: Path) -> tuple[Path, Audit]:
    """Find the audit in a folder or a file: audit.json if it is there, else the journal."""
    directory = source if source.is_dir() else source.parent
    wanted = (directory / store.AUDIT, directory / store.JOURNAL) if source.is_dir() else (source,)
    found = next((path for path in wanted if path.is_file()), None)
    if found is None:
        raise UsageError(
            f"'{source}' holds neither {store.AUDIT} nor {store.JOURNAL}; give the folder that an audit wrote"
        )
    if found.suffix == ".jsonl":
        return directory, store.masked(conclude(store.read_journal(found)), Secrets())
    return directory, store.read_audit(found)


def _write_reports(directory: Path, audit: Audit) -> None:
    for name in ("json", "html"):
        one = renderer(name)
        store.write_whole(directory / one.FILE, one.render(audit).decode())


def _show(audit: Audit, *, print_json: bool) -> None:
    if print_json:
        sys.stdout.write(renderer("json").render(audit).decode())
    else:
        print_audit(audit, open_console())


def _default_directory(options: config.Options) -> Path:
    stamp = dt.datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    words = "".join(
        c if c.isalnum() else "-" for c in (options.name or " ".join(options.command[:2]) or f"pid{options.pid}")
    )
    return Path(".leakcheck") / f"{stamp}-{words.strip('-')[:40]}-{os.getpid()}"


@contextmanager
def _interruptible() -> Iterator[None]:
    """Make the first Ctrl-C or SIGTERM a KeyboardInterrupt, and later ones nothing: what follows is bounded anyway."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        for one in signals:
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(one, interrupt) for one in signals]
    try:
        yield
    finally:
        for one, handler in zip(signals, before, strict=True):
            signal.signal(one, handler)


def main() -> None:
    """Run the command line; every error of ours is one message and exit code 2."""
    if not sys.platform.startswith("linux"):
        sys.stderr.write(
            f"leakcheck: it reads processes through Linux's /proc, which {sys.platform} has not; run it on Linux.\n"
        )
        raise SystemExit(EXIT_USAGE)
    try:
        app()
    except LeakcheckError as error:
        sys.stderr.write(f"leakcheck: {error}\n")
        raise SystemExit(EXIT_USAGE) from None
    except KeyboardInterrupt:
        sys.stderr.write("leakcheck: interrupted before the target answered; nothing was left running.\n")
        raise SystemExit(EXIT_INTERRUPTED) from None
