"""The files of an audit: a journal flushed line by line, and documents written whole."""

from __future__ import annotations

import json
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

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

    Raises UsageError when the folder cannot be made or written.
    """

    def __init__(self, directory: Path, secrets: Secrets) -> None:
        self.events: list[Event] = []
        self._hide = lru_cache(maxsize=4096)(secrets.hide)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            if (directory / JOURNAL).exists():
                raise UsageError(f"'{directory}' holds an audit already; give another folder with --out, or remove it")
            self._file = (directory / JOURNAL).open("w", encoding="utf-8")
        except OSError as error:
            raise UsageError(
                f"The folder '{directory}' cannot be written ({error.strerror}); give another one with --out"
            ) from error

    def write(self, event: Event) -> None:
        """Append one event; it is on its way to the disk when this returns."""
        line = {"event": _NAME_OF[type(event)], **to_wire(event)}
        self._file.write(json.dumps(self._masked(line), ensure_ascii=False, separators=(",", ":")) + "\n")
        self._file.flush()
        self.events.append(event)

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._hide(value)
        if isinstance(value, dict):
            return {key: self._masked(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._masked(item) for item in value]
        return value

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


def read_journal(path: Path) -> list[Event]:
    """Return the events of a journal. A last line that was cut off is left out; any other damage raises."""
    events: list[Event] = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
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
        raise LeakcheckError(f"'{path}' is not JSON ({error}); render its folder instead, from the journal") from error
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != SCHEMA:
        raise LeakcheckError(
            f"'{path}' has schema {schema}, this leakcheck reads {SCHEMA}; use the version that wrote it"
        )
    try:
        return from_wire(Audit, data)
    except (WireError, KeyError) as error:
        raise LeakcheckError(f"'{path}' does not fit schema {SCHEMA}: {error}") from error


def masked(audit: Audit, secrets: Secrets) -> Audit:
    """Return the audit with every credential removed, as it may be written and shown."""
    hide = lru_cache(maxsize=4096)(secrets.hide)

    def mask(value: Any) -> Any:
        if isinstance(value, str):
            return hide(value)
        if isinstance(value, dict):
            return {key: mask(item) for key, item in value.items()}
        return [mask(item) for item in value] if isinstance(value, list) else value

    return from_wire(Audit, mask(to_wire(audit)))


def write_whole(path: Path, content: str) -> None:
    """Write a file so that it is either the old one or the new one, never a part: temporary file, sync, rename."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
