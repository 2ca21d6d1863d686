"""Options that a project keeps in [tool.leakcheck] of its pyproject.toml."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from pathlib import Path

from leakcheck.errors import UsageError
from leakcheck.options import Options, words


def merged(options: Options, pyproject: Path) -> Options:
    """Fill what is not given from [tool.leakcheck]. Raises UsageError for an unknown key or a wrong type."""
    table = _table(pyproject)
    known = {option.name: option for option in fields(Options)}
    changes: dict[str, object] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in known:
            raise UsageError(
                f"Unknown key '{key}' in [tool.leakcheck] of '{pyproject}'; known: {', '.join(sorted(known))}"
            )
        typed = _typed(key, value, str(known[name].type))
        if getattr(options, name) in (None, ()):
            changes[name] = typed
    for given, overruled in _OVERRULED:
        if any(getattr(options, name) not in (None, ()) for name in given):
            changes = {name: value for name, value in changes.items() if name not in overruled}
    if options.mcp == "stdio":
        changes = {name: value for name, value in changes.items() if name not in _OVER_HTTP}
    return replace(options, **changes)  # type: ignore[arg-type]


_WORK = ("mcp", "request", "drive", "locustfile")
_OVER_HTTP = ("session_idle", "session_limit")
_OVERRULED = (
    (("command", "pid"), ("command", "pid")),
    (("pid",), ("env", "cwd")),
    (_WORK, _WORK),
    (("request", "drive", "locustfile"), ("tool", "arguments", "undo", *_OVER_HTTP)),
    (("mcp", "request", "drive"), ("host",)),
    (("rounds",), ("budget",)),
    (("budget",), ("rounds",)),
)
"""Given on the command line, the first leave out the second of pyproject.toml: they would contradict each other."""


def _table(pyproject: Path) -> dict[str, object]:
    if not pyproject.is_file():
        return {}
    try:
        tool = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError) as error:
        raise UsageError(
            f"'{pyproject}' cannot be read as TOML: {error}; correct it, or run in another folder"
        ) from error
    table = tool.get("leakcheck", {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"'leakcheck' under [tool] of '{pyproject}' must be a table [tool.leakcheck], not {table!r}")
    return table


def _typed(key: str, value: object, kind: str) -> object:
    if kind.startswith("tuple"):
        if isinstance(value, str):
            return words(value, "'command' in [tool.leakcheck]") if key == "command" else (value,)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise UsageError(f"'{key}' in [tool.leakcheck] must be a list of strings, not {value!r}")
    wanted: type = bool if kind.startswith("bool") else int if kind.startswith("int") else str
    if wanted is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    if type(value) is not wanted:
        raise UsageError(f"'{key}' in [tool.leakcheck] must be of type {wanted.__name__}, not {value!r}")
    return value
