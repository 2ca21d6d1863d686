"""Puts the parts of one audit together: which target, which driver, which probes a checked plan means."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from leakcheck import config, store
from leakcheck.audit import Parts, run
from leakcheck.credentials import Secrets
from leakcheck.drivers import Driver
from leakcheck.drivers.command import CommandDriver
from leakcheck.drivers.http import HttpDriver
from leakcheck.drivers.locustfile import LocustfileDriver
from leakcheck.drivers.mcp_http import McpHttpDriver
from leakcheck.drivers.ports import free_port, port_is_taken
from leakcheck.drivers.stdio import StdioDriver
from leakcheck.errors import UsageError
from leakcheck.interruption import Interruptible
from leakcheck.model.event import Event, Floor
from leakcheck.model.moment import Moment
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.options import filled
from leakcheck.probes import Setting, node
from leakcheck.render.live import Narrator
from leakcheck.render.terminal import open_console
from leakcheck.render.watch import WatchView
from leakcheck.schedule import PILOT_ROUNDS
from leakcheck.serving import Serving
from leakcheck.snapshots import Looker
from leakcheck.targets import Target, injecting, reaching
from leakcheck.targets.running import Running
from leakcheck.targets.spawn import Spawned
from leakcheck.thinning import thinned_events
from leakcheck.watch_config import WatchSetup
from leakcheck.watching import Parts as WatchParts
from leakcheck.watching import watch


def check_inside(setup: config.Setup) -> None:
    """Refuse a process that no agent can come into, before anything starts."""
    if setup.plan.inside and setup.plan.pid is not None:
        injecting.check_inside(setup.plan.pid)


def check_ports(setup: config.Setup) -> None:
    """Refuse a port that somebody serves already: the load would go to a stranger."""
    if setup.plan.command is None:
        return
    for url, template in zip(_urls(setup.filled()), _urls(setup.plan), strict=True):
        if port_is_taken(url):
            raise UsageError(
                f"The port of '{url}' is taken before the target was started; free it, or give {{port}} for "
                f"it: '{_with_port(template)}'"
            )


def _urls(plan: AuditPlan) -> tuple[str, ...]:
    """Where the load goes."""
    return (*(one.url for one in plan.requests), *(url for url in (plan.mcp_url, plan.host) if url is not None))


def _with_port(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.hostname}:{{port}}").geturl()


def carry_out(setup: config.Setup, secrets: Secrets, journal: store.Journal, interruptible: Interruptible) -> None:
    """Run the audit; every event is in the journal before it is told. Signals are ignored from its end on."""
    rounds = None if setup.plan.rounds is None else setup.plan.rounds + PILOT_ROUNDS
    with ExitStack() as stack:
        stack.callback(interruptible.ignore)
        targets = _Targets(setup, secrets, _folder(stack), _folder(stack) if setup.plan.inside else None)
        narrator = stack.enter_context(Narrator(open_console(stderr=True)))
        run(_parts(setup, secrets, targets, lambda event: narrator.event(journal.write(event), rounds)))


class _Targets:
    """How the targets of one plan are started, and looked at."""

    def __init__(self, setup: config.Setup, secrets: Secrets, temporary: Path, agents: Path | None) -> None:
        """`temporary`: the target's own; `agents`: for the sockets of the agents inside it."""
        self._setup, self._secrets, self._temporary, self._agents = setup, secrets, temporary, agents
        self.plan = setup.filled()

    def spawn(self, command: Sequence[str], environment: Mapping[str, str], log: str) -> Target:
        """Make a target of a command."""
        return Spawned(
            command,
            pipes=self.plan.driver is DriverKind.STDIO,
            environment={**_temporary(self._temporary), **self._setup.environment, **environment},
            cwd=self.plan.cwd,
            log_path=Path(self.plan.directory) / log,
            secrets=self._secrets,
            grace_seconds=self.plan.grace_seconds,
        )

    def start(self) -> Target:
        """Make the target of the plan."""
        if self.plan.command is None:
            return Running(self.plan.pid or 0, self._secrets)
        existing = {**os.environ, **self._setup.environment}
        inside = {}
        if self._agents is not None:
            inside = {**reaching.environment(self._agents, existing), **node.environment(existing)}
        return self.spawn(self.plan.command, inside, store.LOG)

    def reach(self, target: Target) -> tuple[str, ...]:
        """Put agents into a process that runs already, where that was asked for."""
        if self._agents is None or self.plan.pid is None:
            return ()
        return injecting.inject(self.plan.pid, [member.pid for member in target.members()], self._agents)

    def leave(self, target: Target) -> tuple[str, ...]:
        """Take them out again."""
        if self._agents is None or self.plan.pid is None:
            return ()
        return injecting.withdraw([member.pid for member in target.members()], self._agents)

    def looker(self, target: Target) -> Looker:
        """Make the probes for a target."""
        return Looker(
            Setting(
                metrics_url=self.plan.metrics_url,
                headers=self._setup.headers,
                temporary=str(self._temporary) if self.plan.command else None,
                parent=target.reaper_pid if isinstance(target, Spawned) else None,
                agents=None if self._agents is None else str(self._agents),
            )
        )


_LONGEST_FOLDER = 60
"""Characters: the path of a socket has room for 107, its name and ours not counted."""


def _folder(stack: ExitStack) -> Path:
    """Make a folder for this user alone, that is gone when the stack is left; its path is short enough for sockets."""
    usual = tempfile.gettempdir()
    place = usual if len(usual) <= _LONGEST_FOLDER else "/tmp"  # noqa: S108 - the folder in it is ours alone
    made = tempfile.TemporaryDirectory(prefix="leakcheck-", dir=place, ignore_cleanup_errors=True)
    return Path(stack.enter_context(made))


def _parts(setup: config.Setup, secrets: Secrets, targets: _Targets, write: Callable[[Event], None]) -> Parts:
    plan = targets.plan

    def start_copy(*, through: tuple[str, ...], environment: Mapping[str, str]) -> Target:
        port = free_port()
        own = {"PORT": str(port)} if "PORT" in setup.environment else {}
        return targets.spawn((*through, *filled(setup.plan.command or (), port)), {**environment, **own}, "copies.log")

    drivers: dict[DriverKind, Callable[[], Driver]] = {
        DriverKind.STDIO: lambda: StdioDriver(plan, secrets, start_copy),
        DriverKind.HTTP: lambda: HttpDriver(plan, setup.headers, secrets),
        DriverKind.COMMAND: lambda: CommandDriver(plan, setup.environment, secrets),
        DriverKind.MCP_HTTP: lambda: McpHttpDriver(plan, setup.headers, secrets),
        DriverKind.LOCUST: lambda: LocustfileDriver(plan, setup.environment, secrets),
    }
    return Parts(
        plan=setup.plan,
        command=plan.command or (),
        start=targets.start,
        driver=drivers[plan.driver](),
        looker=targets.looker,
        reach=targets.reach,
        leave=targets.leave,
        write=write,
    )


def watch_over(setup: WatchSetup, secrets: Secrets, journal: store.Journal, interruptible: Interruptible) -> None:
    """Watch the target; what is told on the screen and over HTTP is in the journal or may be lost with it."""
    with ExitStack() as stack:
        stack.callback(interruptible.ignore)
        targets = _Targets(setup.setup, secrets, _folder(stack), None)
        console = open_console(stderr=True)
        serving = stack.enter_context(Serving(*setup.address)) if setup.address else None
        if serving is not None:
            console.print(f"serving {serving.url} (audit.json, metrics, charts)", soft_wrap=True, highlight=False)
        view = stack.enter_context(WatchView(console))

        def write(event: Event) -> None:
            journal.write(event)
            if isinstance(event, Floor):
                journal.events[:] = thinned_events(journal.events)

        def tell(moment: Moment) -> None:
            view.show(moment)
            if serving is not None:
                serving.publish(moment)

        watch(
            WatchParts(
                plan=setup.setup.plan,
                command=targets.plan.command or (),
                every_seconds=setup.every_seconds,
                for_seconds=setup.for_seconds,
                start=targets.start,
                looker=targets.looker,
                write=write,
                seen=lambda: journal.events,
                harmless=secrets.hide_all,
                tell=tell,
            )
        )


def _temporary(folder: Path) -> dict[str, str]:
    return dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(folder))
