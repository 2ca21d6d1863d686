"""The options of an audit as they were given, and the words that stand in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from leakcheck.errors import UsageError

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `leakcheck audit`: None and () mean not given. Keys of [tool.leakcheck] are these names."""

    command: tuple[str, ...] = ()
    pid: int | None = None
    mcp: str | None = None
    request: tuple[str, ...] = ()
    drive: str | None = None
    locustfile: str | None = None
    host: str | None = None
    session_idle: str | None = None
    session_limit: int | None = None
    metrics: str | None = None
    tool: tuple[str, ...] = ()
    allow_open_world: bool | None = None
    allow_destructive: bool | None = None
    arguments: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    inside: bool | None = None
    outside: bool | None = None
    header: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str | None = None
    budget: str | None = None
    rounds: int | None = None
    operations: int | None = None
    ready_timeout: str | None = None
    grace: str | None = None
    skip: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    seed: int | None = None
    name: str | None = None
    out: str | None = None


def words(text: str, option: str) -> tuple[str, ...]:
    """Split a command as a shell does, without running one. Raises UsageError, naming `option`."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{option}, {text!r}, cannot be split into words as a shell does: {error}") from error


def seconds(text: str, option: str) -> float:
    """Return a time such as `90s` or `2m`. Raises UsageError, naming `option`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)", text.strip())
    if not match or float(match.group(1)) == 0:
        raise UsageError(f"{option} must be a time such as 60s, 2m or 1h, not '{text}'")
    return float(match.group(1)) * _UNITS[match.group(2)]


def filled(template: Sequence[str], port: int) -> tuple[str, ...]:
    """Return a command with its `{port}` filled."""
    return tuple(fill(part, port) for part in template)


def fill(text: str, port: int) -> str:
    """Return a text with its `{port}` filled."""
    return text.replace("{port}", str(port))
