"""The files of an audit: a journal flushed line by line, and documents written whole."""

from __future__ import annotations

import json
import os
import tempfile
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from leakcheck.credentials import Secrets
from leakcheck.errors import LeakcheckError, UsageError
from leakcheck.model.audit import SCHEMA, Audit
from leakcheck.model.event import NAMES, Event
from leakcheck.model.wire import WireError, from_wire, to_wire

JOURNAL = "journal.jsonl"
AUDIT = "audit.json"
REPORT = "report.html"
LOG = "target.log"

_NAME_OF = {kind: name for name, kind in NAMES.items()}


class Journal:
    """Writes each event as one flushed line, credentials removed. A killed auditor loses at most the line it wrote.

    What an earlier run left whose target never answered is written over.
    Raises UsageError when the folder cannot be made or written, or holds an audit.
    """

    def __init__(self, directory: Path, secrets: Secrets) -> None:
        self.events: list[Event] = []
        """What was written: an audit concluded from these is the one that the file gives."""
        self._secrets = secrets
        self._path = directory / JOURNAL
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if _holds_audit(directory):
                raise UsageError(f"'{directory}' holds an audit already; give another folder with --out, or remove it")
            for name in (AUDIT, REPORT):
                (directory / name).unlink(missing_ok=True)
            self._file = self._path.open("wb", buffering=0)
        except OSError as error:
            raise UsageError(
                f"The folder '{directory}' cannot be written ({error.strerror}); give another one with --out"
            ) from error

    def write(self, event: Event) -> Event:
        """Append one event and return it without credentials; it is on its way to the disk when this returns.

        Raises LeakcheckError when the disk is full.
        """
        event = self._secrets.hide_all(event)
        line = {"event": _NAME_OF[type(event)], **to_wire(event)}
        try:
            # ASCII: a target may send U+2028, which ends lines, and halves of surrogate pairs, which UTF-8 lacks.
            _write_all(self._file, json.dumps(line, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n")
        except OSError as error:
            raise LeakcheckError(
                f"'{self._path}' cannot be written ({error.strerror}); make room, or give another folder with --out"
            ) from error
        self.events.append(event)
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


def read_journal(path: Path) -> list[Event]:
    """Return the events of a journal. A last line that was cut off is left out; any other damage raises."""
    events: list[Event] = []
    lines = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    for number, line in enumerate(lines, start=1):
        try:
            data = json.loads(line)
            events.append(from_wire(NAMES[data["event"]], data))
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise LeakcheckError(f"Line {number} of '{path}' is not an event of schema {SCHEMA}: {error}") from error
    return events


def read_audit(path: Path) -> Audit:
    """Return the audit in an audit.json. Raises LeakcheckError for another schema or a damaged file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise LeakcheckError(f"'{path}' is not JSON ({error}); give '{path.with_name(JOURNAL)}' instead") from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise LeakcheckError(
            f"'{path}' has schema {schema}, this leakcheck reads {SCHEMA}; use the version that wrote it"
        )
    try:
        return from_wire(Audit, data)
    except (WireError, KeyError) as error:
        raise LeakcheckError(f"'{path}' does not fit schema {SCHEMA}: {error}") from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is either the old one or the new one, never a part: temporary file, sync, rename.

    Raises LeakcheckError when it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise LeakcheckError(
            f"'{path}' cannot be written ({error.strerror}); make room, or copy the folder to where you may write"
        ) from error


def _holds_audit(directory: Path) -> bool:
    """Whether a target answered there: what never began is worth nothing."""
    journal = directory / JOURNAL
    if not journal.exists():
        return (directory / AUDIT).exists()
    with journal.open("rb") as file:
        return any(line.startswith(b'{"event":"target"') for line in file)


def _write_all(file: FileIO, content: bytes) -> None:
    """Write until nothing is left: a disk that is nearly full takes a part first."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) or 0 :]
