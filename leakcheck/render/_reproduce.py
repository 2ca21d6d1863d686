"""The command line that would repeat an audit, from its plan."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.model.wire import to_wire

_DEFAULTS = AuditPlan(command=None, pid=None, driver=DriverKind.STDIO)


def command_line(plan: AuditPlan) -> str:
    """Give the command, quoted for a shell. Values of headers and variables are secret: `$NAME` stands instead."""
    if plan.driver is DriverKind.NONE:
        start = ["watch", str(plan.pid)] if plan.command is None else ["run"]
        words = ["leakcheck", *start, *_looks(plan), *_judged(plan)]
    else:
        running = [] if plan.pid is None else ["--pid", str(plan.pid)]
        words = ["leakcheck", "audit", *_work(plan), *_looks(plan), *_tools(plan), *_bounds(plan), *_judged(plan)]
        words += running
    line = shlex.join(words)
    return f"{line} -- {shlex.join(plan.command)}" if plan.command else line


def _work(plan: AuditPlan) -> Iterator[str]:
    if plan.driver is DriverKind.STDIO:
        yield from ("--mcp", "stdio")
    idle, limit = plan.session_idle_seconds, plan.session_limit
    for option, value in (
        ("--mcp", plan.mcp_url),
        ("--locustfile", plan.locustfile),
        ("--host", plan.host),
        ("--session-idle", None if idle is None else f"{idle:g}s"),
        ("--session-limit", None if limit is None else str(limit)),
    ):
        if value is not None:
            yield from (option, value)
    for request in plan.requests:
        yield from ("--request", " ".join(part for part in (request.method, request.url, request.body) if part))
    if plan.drive:
        yield from ("--drive", shlex.join(plan.drive))


def _looks(plan: AuditPlan) -> Iterator[str]:
    if plan.metrics_url:
        yield from ("--metrics", plan.metrics_url)
    for name in plan.header_names:
        yield from ("--header", f"{name}: ${_variable(name)}")
    for name in plan.environment_names:
        yield from ("--env", f"{name}=${name}")
    if plan.cwd:
        yield from ("--cwd", plan.cwd)
    if plan.driver is not DriverKind.NONE and plan.inside is (plan.pid is not None):
        yield "--inside" if plan.inside else "--outside"


def _tools(plan: AuditPlan) -> Iterator[str]:
    for name in plan.tools.named:
        yield from ("--tool", name)
    if plan.tools.allow_open_world:
        yield "--allow-open-world"
    if plan.tools.allow_destructive:
        yield "--allow-destructive"
    for option, given in (("--arguments", plan.tools.arguments), ("--undo", plan.tools.undo)):
        for name, arguments in given.items():
            yield from (option, f"{name}={_json(arguments)}" if arguments else name)


def _bounds(plan: AuditPlan) -> Iterator[str]:
    if plan.rounds is not None:
        yield from ("--rounds", str(plan.rounds))
    if plan.operations is not None:
        yield from ("--operations", str(plan.operations))
    if plan.rounds is None:
        yield from ("--budget", f"{plan.budget_seconds:g}s")
    if plan.ready_timeout_seconds != _DEFAULTS.ready_timeout_seconds:
        yield from ("--ready-timeout", f"{plan.ready_timeout_seconds:g}s")
    if plan.grace_seconds != _DEFAULTS.grace_seconds:
        yield from ("--grace", f"{plan.grace_seconds:g}s")
    if plan.seed != _DEFAULTS.seed:
        yield from ("--seed", str(plan.seed))


def _judged(plan: AuditPlan) -> Iterator[str]:
    for kind in plan.skip:
        yield from ("--skip", kind)
    for name in plan.exclude:
        yield from ("--exclude", name)
    for name in plan.require:
        yield from ("--require", name)


def _variable(header: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in header).upper()


def _json(arguments: object) -> str:
    return json.dumps(to_wire(arguments), separators=(",", ":"))
