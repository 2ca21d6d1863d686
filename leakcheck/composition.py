"""Puts the parts of one audit together: which target, which driver, which probes a checked plan means."""

from __future__ import annotations

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
from leakcheck.drivers.ports import free_port, port_is_taken
from leakcheck.drivers.stdio import StdioDriver
from leakcheck.errors import UsageError
from leakcheck.interruption import Interruptible
from leakcheck.model.event import Event
from leakcheck.model.plan import DriverKind
from leakcheck.probes import Setting
from leakcheck.render.live import Narrator
from leakcheck.render.terminal import open_console
from leakcheck.schedule import PILOT_ROUNDS
from leakcheck.snapshots import Looker
from leakcheck.targets import Target
from leakcheck.targets.running import Running
from leakcheck.targets.spawn import Spawned


def check_ports(setup: config.Setup) -> None:
    """Refuse a port that somebody serves already: the load would go to a stranger."""
    filled = setup.filled()
    for request, template in zip(filled.requests, setup.plan.requests, strict=True):
        if filled.command and port_is_taken(request.url):
            raise UsageError(
                f"The port of '{request.url}' is taken before the target was started; free it, or give {{port}} for "
                f"it: '{_with_port(template.url)}'"
            )


def _with_port(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.hostname}:{{port}}").geturl()


def carry_out(setup: config.Setup, secrets: Secrets, journal: store.Journal, interruptible: Interruptible) -> None:
    """Run the audit; every event is in the journal before it is told. Signals are ignored from its end on."""
    rounds = None if setup.plan.rounds is None else setup.plan.rounds + PILOT_ROUNDS
    with ExitStack() as stack:
        stack.callback(interruptible.ignore)
        temporary = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="leakcheck-", ignore_cleanup_errors=True))
        )
        narrator = stack.enter_context(Narrator(open_console(stderr=True)))
        run(_parts(setup, secrets, temporary, lambda event: narrator.event(journal.write(event), rounds)))


def _parts(setup: config.Setup, secrets: Secrets, temporary: Path, write: Callable[[Event], None]) -> Parts:
    plan = setup.filled()

    def spawn(command: Sequence[str], environment: Mapping[str, str], log: str) -> Target:
        return Spawned(
            command,
            pipes=plan.driver is DriverKind.STDIO,
            environment={**_temporary(temporary), **setup.environment, **environment},
            cwd=plan.cwd,
            log_path=Path(plan.directory) / log,
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
                parent=target.reaper_pid if isinstance(target, Spawned) else None,
            )
        )

    def start_copy(*, through: tuple[str, ...], environment: Mapping[str, str]) -> Target:
        port = free_port()
        own = {"PORT": str(port)} if "PORT" in setup.environment else {}
        return spawn((*through, *config.filled(setup.plan.command or (), port)), {**environment, **own}, "copies.log")

    drivers: dict[DriverKind, Callable[[], Driver]] = {
        DriverKind.STDIO: lambda: StdioDriver(plan, secrets, start_copy),
        DriverKind.HTTP: lambda: HttpDriver(plan, setup.headers, secrets),
        DriverKind.COMMAND: lambda: CommandDriver(plan, setup.environment, secrets),
    }
    return Parts(
        plan=setup.plan,
        command=plan.command or (),
        start=start,
        driver=drivers[plan.driver](),
        looker=looker,
        write=write,
    )


def _temporary(folder: Path) -> dict[str, str]:
    return dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(folder))
