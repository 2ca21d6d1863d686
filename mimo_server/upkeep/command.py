"""The words `fsck`, `export`, `import` and `stats` of the command."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mimo_server.errors import SettingsError
from mimo_server.memory.embed import LexicalEmbedder
from mimo_server.memory.schema import FILE
from mimo_server.memory.store import SqliteStore
from mimo_server.upkeep.counting import counted
from mimo_server.upkeep.folder import Form, Progress, opened
from mimo_server.upkeep.fsck import Report, checked
from mimo_server.upkeep.transfer import exported, imported

_EVERY_S = 0.2
"""Between two lines of progress."""


def fsck(options: Mapping[str, Any]) -> int:
    """0: sound; 1: something is lost; 3: the next start repairs what is wrong."""
    with opened(Path(options["folder"])) as folder, _progress() as progress:
        report = checked(folder, progress)
    if options["json"]:
        _print(report.told())
    else:
        sys.stdout.write(_shown(report))
    return 1 if report.lost else 3 if report.repairable else 0


def _shown(report: Report) -> str:
    told = report.told()
    lines = [f"{report.memories} memories: {told['verdict']}"]
    lines += [f"database: {line}" for line in report.database]
    for name, ids, cure in (
        ("damaged rows", report.damaged_rows, "forget them, or restore the folder from a copy"),
        ("damaged slots of the index", report.damaged_slots, "the next start writes them again from their rows"),
    ):
        if ids:
            shown = ", ".join(map(str, ids[:20])) + (" …" if len(ids) > 20 else "")
            lines.append(f"{name}: {len(ids)} ({shown}); {cure}")
    if report.lost_changes:
        lines.append(f"lost: {report.lost_changes} changes that were acknowledged are not in the database any more")
    if report.lacking_slots:
        lines.append(f"index: {report.lacking_slots} memories are not in it; the next start adds them")
    if report.index != "whole":
        lines.append(f"index: {report.index}; the next start builds it from the rows")
    if report.seal != "whole":
        lines.append(f"seal: {report.seal}; nobody can tell whether changes were lost; the next change renews it")
    return "\n".join(lines) + "\n"


def stats(options: Mapping[str, Any]) -> int:
    """Print what the folder holds."""
    with opened(Path(options["folder"])) as folder:
        told = counted(folder)
    if options["json"]:
        _print(told)
        return 0
    for key, value in told.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for part, one in parts:
            sys.stdout.write(f"{' '.join(filter(None, (key, part))):<28} {'-' if one is None else one}\n")
    return 0


def export(options: Mapping[str, Any]) -> int:
    """0: all; 1: damaged ones were left out."""
    with opened(Path(options["folder"])) as folder, _progress() as progress, _written(options["file"]) as out:
        written, damaged = exported(folder, out, progress)
    _tell(f"{written} memories exported")
    if damaged:
        _tell(f"{len(damaged)} damaged memories were left out: {', '.join(map(str, damaged[:20]))}")
    return 1 if damaged else 0


def import_(options: Mapping[str, Any]) -> int:
    """Store what the file has, under new ids."""
    folder = Path(options["folder"])
    form = _form(folder, options["dimensions"])
    embedder = LexicalEmbedder(form.dimensions) if form.embedder == LexicalEmbedder.name else None
    store = SqliteStore(form.dimensions)
    with _read(options["file"]) as lines, _progress() as progress:
        store.open(folder, form.embedder)
        try:
            count = imported(lines, store, embedder, progress, skip=options["skip"])
        finally:
            store.close()
    _tell(f"{count} lines imported")
    return 0


def _form(folder: Path, dimensions: int) -> Form:
    """Of the folder, or of a new one."""
    if not folder.is_dir():
        raise SettingsError(f"{folder} is no folder; make it first")
    if not (folder / FILE).is_file():
        return Form(codec="int8", dimensions=dimensions, embedder=LexicalEmbedder.name)
    with opened(folder) as there:
        return there.form


@contextmanager
def _read(name: str) -> Iterator[IO[str]]:
    if name == "-":
        yield sys.stdin
        return
    try:
        with Path(name).open(encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise SettingsError(f"{name} cannot be read ({error}); give a file of JSON lines, or - for stdin") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{name} is no UTF-8 ({error}); give a file that export wrote") from error


@contextmanager
def _written(name: str) -> Iterator[IO[str]]:
    if name == "-":
        yield sys.stdout
        return
    path = Path(name)
    if path.exists():
        raise SettingsError(f"{name} exists; choose another file, or remove it")
    try:
        with path.open("x", encoding="utf-8") as file:
            yield file
    except OSError as error:
        raise SettingsError(f"{name} cannot be written ({error}); choose another file") from error


@contextmanager
def _progress() -> Iterator[Progress]:
    """On a terminal's stderr one line that changes; elsewhere nothing."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    last = 0.0

    def told(what: str, done: int, count: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY_S or done == count:
            last = now
            sys.stderr.write(f"\r{what}: {done:,}" + (f" of {count:,}" if count else "") + " ")

    yield told
    sys.stderr.write("\r\033[K")


def _tell(text: str) -> None:
    """To stderr: stdout may carry the memories."""
    sys.stderr.write(f"{text}\n")


def _print(told: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(told, indent=2) + "\n")


RUN = {"fsck": fsck, "export": export, "import": import_, "stats": stats}
"""What each word does; returns the exit code."""
