"""Where settings come from: options before the environment before a TOML file before the defaults."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mimo_server.errors import SettingsError
from mimo_server.kinds import LEXICAL, quoted
from mimo_server.settings import HIDDEN, Row, Settings, rows

CONFIG = "MIMO_CONFIG"
SCANS = "scan_search"
SEED_OF_SCANS = 1000
"""Memories to start with when a profile has the defect that scans: 0.15 s and 12 MB more, against 60 MB without."""

_LONGEST_FILE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The settings, and where each of them was said."""

    settings: Settings
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    origin: str
    value: Any
    """Text, or what TOML has; of several: a list."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the parser an option per setting, by group, and the one for the file. Values stay the text they are."""
    parser.add_argument("--config", metavar="FILE", help=f"read settings from this TOML file (or {CONFIG})")
    groups = {name: parser.add_argument_group(name) for name in dict.fromkeys(row.group for row in rows())}
    for row in rows():
        told = f"{row.words} (default: {row.default})".replace("%", "%%")
        groups[row.group].add_argument(
            row.option,
            dest=row.name,
            metavar=row.kind.metavar,
            action="append" if row.many else "store",
            help=argparse.SUPPRESS if row.group == HIDDEN else told,
        )


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name that is most like a word nobody knows."""
    return get_close_matches(word, list(known), n=1, cutoff=0.0)[0]


def choose(options: Mapping[str, Any], environment: Mapping[str, str]) -> Chosen:
    """The settings from all sources, each validated here. Raises SettingsError: where, which value, what to do."""
    said = _in_environment(environment)
    if (file := options.get("config")) is not None:
        said = _in_file(file, "option --config") | said
    elif (file := environment.get(CONFIG)) is not None:
        said = _in_file(file, f"environment {CONFIG}") | said
    said |= _in_options(options)
    table = rows()
    values = {row.name: _value(row, said[row.name]) for row in table if row.name in said}
    origins = {row.name: said[row.name].origin if row.name in said else "default" for row in table}
    settings = Settings(**values)
    if settings.embeddings != LEXICAL and settings.embeddings_model is None:
        raise SettingsError(
            f"{origins['embeddings']}: an endpoint needs to be told its model; set embeddings_model too"
        )
    if SCANS in settings.defects and SCANS not in settings.defect and "seed_memories" not in said:
        origins["seed_memories"] = f"profile {settings.profile}"
        settings = Settings(**values, seed_memories=SEED_OF_SCANS)
    return Chosen(settings=settings, origins=origins)


def _in_options(options: Mapping[str, Any]) -> dict[str, _Said]:
    said = {}
    for row in rows():
        if (value := options.get(row.name)) is not None:
            origin = f"option {row.option}"
            said[row.name] = _Said(origin=origin, value=_read(value, origin).strip() if row.kind.secret else value)
    return said


def _in_environment(environment: Mapping[str, str]) -> dict[str, _Said]:
    table = {row.variable: row for row in rows()}
    said = {}
    for variable, text in environment.items():
        if row := table.get(variable):
            value = [word.strip() for word in text.split(",")] if row.many else text
            said[row.name] = _Said(origin=f"environment {variable}", value=value)
        elif variable.startswith("MIMO_") and variable != CONFIG:
            raise _unknown(f"environment {variable}", variable, [*table, CONFIG])
    return said


def _in_file(name: str, origin: str) -> dict[str, _Said]:
    try:
        found = tomllib.loads(_read(name, origin))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{origin}: {name} is no TOML ({error}); mend it there") from error
    table = {row.name: row for row in rows()}
    said = {}
    for key, value in found.items():
        if key not in table:
            raise _unknown(f"{name}:{key}", key, table)
        if table[key].kind.path and isinstance(value, str) and value[:1] not in {"", "~"}:
            # An MCP client starts the server in a folder that nobody knows, so a path is meant from the file.
            value = str(Path(name).expanduser().parent / value)  # noqa: PLW2901
        said[key] = _Said(origin=f"{name}:{key}", value=value)
    return said


def _unknown(origin: str, name: str, known: Iterable[str]) -> SettingsError:
    return SettingsError(
        f"{origin}: there is no such setting; the nearest is {nearest(name, known)}, and `mimo-server --help` has all"
    )


def _read(name: str, origin: str) -> str:
    try:
        with Path(name).expanduser().open("rb") as file:
            content = file.read(_LONGEST_FILE + 1)
        if len(content) <= _LONGEST_FILE:
            return content.decode()
        problem: object = "it has more than 1 MiB"
    except UnicodeDecodeError:  # its own words would repeat what is in the file
        problem = "it is no UTF-8 text"
    except OSError as error:
        problem = error.strerror
    except (ValueError, RuntimeError) as error:  # a NUL in the name, a home that nobody has
        problem = error
    raise SettingsError(f"{origin}: {quoted(name)} cannot be read ({problem}); choose another file")


def _value(row: Row, said: _Said) -> Any:
    """What the words mean. Raises SettingsError, in which a secret is not repeated."""
    given = said.value if row.many else [said.value]
    if not isinstance(given, list):
        raise SettingsError(f'{said.origin}: {quoted(str(given))} is no list; give one such as ["NAME"]')
    for one in given:
        if isinstance(one, bool) or not isinstance(one, (str, int, float)):
            shown = row.kind.write("") if row.kind.secret else quoted(str(one))
            raise SettingsError(f"{said.origin}: {shown} is neither text nor number; give one")
    try:
        values = tuple(row.kind.parse(str(one)) for one in given)
    except ValueError as error:
        raise SettingsError(f"{said.origin}: {error}") from error
    return values if row.many else values[0]
