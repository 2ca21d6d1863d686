"""The data folder: its lock, its database, and whether they are this server's."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import TextIO
from urllib.parse import quote

from mimo_server.errors import SettingsError
from mimo_server.memory.failpoints import reached
from mimo_server.memory.rows import readable

FILE = "memories.sqlite3"
_LOCK = "lock"
_VERSION = 3
"""1 had no metadata, no change numbers, no checksums and was never released; 2 had fewer indexes."""
_BUSY_MS = 5000
_CHECKPOINT_PAGES = 1000
"""4 MB of log at 4 KiB a page, then it is written back."""
_LOG_KEPT_BYTES = 8 << 20
"""What stays of the log's file after a burst."""

_INDEXES = "CREATE INDEX engrams_change ON engrams (change); CREATE INDEX engrams_created ON engrams (created_at);"
"""The first has, with the id that every index of SQLite has, all that a start compares, without reading the rows; the
second is for what is too old."""
_MIGRATIONS = {2: _INDEXES}
"""From a version to the next one."""

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE engrams (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice: an old id cannot name a new memory
    content TEXT NOT NULL,
    category TEXT NOT NULL,
    importance REAL NOT NULL,
    embedding NOT NULL,
    metadata TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    change INTEGER NOT NULL,
    checksum BLOB NOT NULL
);
CREATE INDEX engrams_category ON engrams (category, importance);
CREATE INDEX engrams_importance ON engrams (importance);
{_INDEXES}
CREATE TABLE state (format TEXT NOT NULL, change INTEGER NOT NULL);
PRAGMA user_version = {_VERSION};
COMMIT;
"""


def lock(folder: Path) -> TextIO:
    """Take the folder for this process, until the file is closed or the process ends, however it ends.

    Raises SettingsError when another server has it.
    """
    try:
        file = (folder / _LOCK).open("a+", encoding="ascii")
    except OSError as error:
        raise SettingsError(f"{folder} cannot be used ({error}); choose a --data folder that you may write") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read(20).strip() or "unknown"
        file.close()
        raise SettingsError(
            f"another server uses {folder} (process {holder}); end it, or choose another --data folder"
        ) from error
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def writing_connection(folder: Path, form: str) -> sqlite3.Connection:
    """The one connection that writes; `form` says how embeddings are made and kept.

    Raises SettingsError when the file is no database, or one of another version or form.
    """
    path = folder / FILE
    try:
        connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_MS / 1000)
        try:
            _prepare(connection, path, form)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise SettingsError(
            f"{path} cannot be opened ({error}); choose another --data folder, or restore this one from a copy"
        ) from error
    return connection


def _prepare(connection: sqlite3.Connection, path: Path, form: str) -> None:
    connection.text_factory = readable
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only heard before the first table
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # group commit makes it cheap: 23 times one row a commit
    connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {_LOG_KEPT_BYTES}")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = not connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    if version == 0 and empty:
        connection.executescript(_SCHEMA)
    elif version in _MIGRATIONS:
        _migrate(connection, version)
    else:
        check_version(connection, path)
    found = connection.execute("SELECT format FROM state").fetchone()
    if found is None:
        connection.execute("INSERT INTO state VALUES (?, 0)", (form,))
    elif found[0] != form:
        raise SettingsError(
            f"{path} holds embeddings as {found[0]}, and this server was told {form}; choose another --data folder, "
            "or the dimensions, the embedder and the defects it was written with"
        )


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    """Raises SettingsError for a database of another version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != _VERSION:
        age = "a newer" if version > _VERSION else "an older"
        raise SettingsError(
            f"{path} was written by {age} version of this server (format {version}, this one is {_VERSION}); "
            "use that version, or choose another --data folder"
        )


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Version by version, each in one transaction."""
    for before in range(version, _VERSION):
        connection.executescript(f"BEGIN IMMEDIATE; {_MIGRATIONS[before]} PRAGMA user_version = {before + 1};")
        reached("migrating")
        connection.execute("COMMIT")
        reached("migrated")


_READING_KIB = 256
"""Pages that a reading connection keeps: rows of an answer lie anywhere, and the system keeps what is read often."""


def reading_connection(folder: Path) -> sqlite3.Connection:
    """A connection that can only read; one thread at a time, and not always the same."""
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(folder / FILE))}?mode=ro",
            uri=True,
            isolation_level=None,
            timeout=_BUSY_MS / 1000,
            check_same_thread=False,
        )
        try:
            connection.text_factory = readable
            connection.execute(f"PRAGMA cache_size = -{_READING_KIB}")
            connection.execute("SELECT change FROM state").fetchone()  # opens its files now, while descriptors last
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise SettingsError(
            f"{folder / FILE} cannot be opened once more for reading ({error}); allow more open files, or fewer readers"
        ) from error
    return connection
