"""The catalog file: JSON in, skills out, every field checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mimo_server.errors import SettingsError
from mimo_server.skills.skill import Skill

MOST_SKILLS = 64
LARGEST_FILE = 8 << 20
"""Bytes."""
_SKILL = TypeAdapter(Skill)


def load(path: Path) -> dict[str, Any]:
    """The file's object `skills`, not checked further. Raises SettingsError."""
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise SettingsError(
            f"the skill catalog {path} cannot be read ({error.strerror}); name a file that you may read"
        ) from error
    if len(text) > LARGEST_FILE:
        raise SettingsError(f"the skill catalog {path} has more than {LARGEST_FILE >> 20} MiB; shorten its schemas")
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the skill catalog {path} is no JSON ({error}); correct it") from error
    if not isinstance(found, dict) or set(found) != {"skills"} or not isinstance(found["skills"], dict):
        raise SettingsError(f'the skill catalog {path} must be {{"skills": {{NAME: {{...}}}}}} and nothing else')
    if len(found["skills"]) > MOST_SKILLS:
        raise SettingsError(f"the skill catalog {path} has {len(found['skills'])} skills; {MOST_SKILLS} are the most")
    return dict(found["skills"])


def read(path: Path) -> Mapping[str, Skill]:
    """All skills of the file by name. Raises SettingsError with the skill, the field and the cure."""
    return {name: checked(path, name, entry) for name, entry in load(path).items()}


def checked(path: Path, name: str, entry: object) -> Skill:
    """One skill. Raises SettingsError."""
    if not isinstance(entry, dict) or "name" in entry:
        raise SettingsError(
            f"{path}: skill {name!r} must be an object with the field command, and without name: that is its key"
        )
    try:
        return _SKILL.validate_python({**entry, "name": name})
    except ValidationError as error:
        raise SettingsError(f"{path}: skill {name!r}: " + "; ".join(map(_told, error.errors()[:5]))) from error


def _told(problem: Mapping[str, Any]) -> str:
    where = ".".join(map(str, problem["loc"])) or "it"
    kind, said = problem["type"], problem["msg"].removeprefix("Value error, ")
    if kind == "unexpected_keyword_argument":
        said = "there is no such field; remove it or correct its spelling"
    elif kind.startswith("missing"):
        said = "is missing; add it"
    else:
        said = f"{said} (it is {_short(problem['input'])})" if kind != "value_error" else said
    return f"{where}: {said}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is listed twice")
    return found


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")
