"""From the options of `watch` and `run` to a plan: what can be wrong with them is found here, before a start."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from leakcheck.config import Setup, default_name
from leakcheck.credentials import in_command, in_environment, in_url
from leakcheck.errors import UsageError
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.options import Options, fill, seconds
from leakcheck.work import check_url

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSetup:
    """A plan that drives nothing, and what only a watch needs to know."""

    setup: Setup
    every_seconds: float
    for_seconds: float | None
    address: tuple[str, int] | None
    """Where to serve; None: nowhere."""


def plan(options: Options, *, every: str | None, serve: str | None, port: int, directory: Path) -> WatchSetup:
    """Check the options (`budget` is `--for`). Raises UsageError: what is wrong, which value, what to do."""
    if options.pid is None and not options.command:
        raise UsageError("No command: give it after `--`, for example `leakcheck run -- python my_server.py`")
    if options.metrics is not None:
        check_url(fill(options.metrics, port), "--metrics")
    for_seconds = None if options.budget is None else seconds(options.budget, "--for")
    built = AuditPlan(
        command=options.command or None,
        pid=options.pid,
        driver=DriverKind.NONE,
        metrics_url=options.metrics,
        budget_seconds=for_seconds or 0.0,
        exclude=options.exclude,
        require=options.require,
        directory=str(directory),
        name=options.name or default_name(options),
    )
    uses_port = any("{port}" in text for text in (*options.command, options.metrics or ""))
    return WatchSetup(
        setup=Setup(
            plan=built,
            port=port,
            environment={"PORT": str(port)} if uses_port else {},
            secret_values=(
                *in_environment(os.environ),
                *in_command(options.command),
                *in_url(options.metrics or ""),
            ),
        ),
        every_seconds=seconds(every or "5s", "--every"),
        for_seconds=for_seconds,
        address=None if serve is None else _address(serve),
    )


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--serve must be 127.0.0.1:PORT (PORT 0: any free one), not '{text}'")
    if host not in _LOOPBACK:
        raise UsageError(
            f"--serve '{text}' would show the target to other machines; serve on 127.0.0.1:{port}, and reach it "
            "through ssh -L"
        )
    return host.strip("[]"), int(port)
