"""Procedures that come from JSON files: an operator's, and the bundled ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

from mimo_server.errors import ProcedureError, SettingsError
from mimo_server.procedures.definition import Procedure

_MOST_PROCEDURES = 256
_MOST_BYTES = 1024 * 1024


def read(path: Path) -> Mapping[str, Procedure]:
    """By name, from a file with a JSON array of procedures. Raises SettingsError naming file, state and field."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"procedures file {path} cannot be read ({error.strerror}); name one that can") from error
    if len(content) > _MOST_BYTES:
        raise SettingsError(f"procedures file {path} is bigger than {_MOST_BYTES} bytes; split it")
    try:
        return parsed(content)
    except ProcedureError as error:
        raise SettingsError(f"procedures file {path}: {error}") from error


def bundled() -> Mapping[str, Procedure]:
    """Those that every server has."""
    return parsed((files("mimo_server.procedures") / "bundled.json").read_bytes())


def parsed(content: bytes) -> Mapping[str, Procedure]:
    """From the bytes of such a file. Raises ProcedureError."""
    try:
        listed = json.loads(content.decode(), parse_constant=_refuse, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ProcedureError(f"no JSON ({error}); correct it") from error
    if not isinstance(listed, list) or len(listed) > _MOST_PROCEDURES:
        raise ProcedureError(f"there must be an array of at most {_MOST_PROCEDURES} procedures; write [{{...}}, ...]")
    by_name: dict[str, Procedure] = {}
    for procedure in map(Procedure.parse, listed):
        if procedure.name in by_name:
            raise ProcedureError(f"procedure {procedure.name!r} is there twice; rename one")
        by_name[procedure.name] = procedure
    return by_name


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key is there twice among {', '.join(sorted(found))!s:.200}")
    return found
