"""The store behind its small interface, and the one in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

import numpy as np

from mimo_server.errors import InvalidError
from mimo_server.memory import schema
from mimo_server.memory.codec import Codec, Int8Codec
from mimo_server.memory.failures import failure
from mimo_server.memory.index import FlatIndex, VectorIndex
from mimo_server.memory.reader import Reader, SqliteReader
from mimo_server.memory.record import Add, Change, Draft, Forget, StoreFacts, Vector
from mimo_server.memory.rows import COLUMNS, CorruptRowError, Row
from mimo_server.memory.vectors import unit

_FREE_PAGES_KEPT = 64
"""Free pages worth keeping for the next rows (256 KiB at 4 KiB a page); above it the file is shortened."""
_BATCH = 512
"""Rows decoded at a time: about 3 MB of vectors at 1536 dimensions."""

Outcome = int | list[int] | Exception
"""Of a change: the new ids, how many were forgotten, or why it failed."""


class MemoryStore(Protocol):
    """Keeps memories. Every call may block. One thread opens, commits and closes; readers go to any thread."""

    dimensions: int
    facts: StoreFacts
    """As of the last commit; may be read from any thread."""
    corrupt: dict[int, str]
    """Memories found damaged, and how they were; a change that forgets one takes it out."""

    def open(self, folder: Path, embedder: str) -> None:
        """Open or create. Raises SettingsError when the folder is another server's, or of another format."""

    def commit(self, changes: Sequence[Change]) -> list[Outcome]:
        """Do all in one transaction; one that fails is undone alone. What is returned as done is on the disk."""

    def reader(self) -> Reader:
        """One more that reads beside the writer."""

    def close(self) -> None:
        """Let go of the folder. A store that was never opened is no error."""


@dataclass(frozen=True, slots=True)
class _Added:
    outcome: list[int]
    vectors: list[Vector]

    @property
    def ids(self) -> list[int]:
        return self.outcome


@dataclass(frozen=True, slots=True)
class _Forgotten:
    ids: list[int]

    @property
    def outcome(self) -> int:
        return len(self.ids)


class SqliteStore:
    """Rows in SQLite, vectors in the index, which is rebuilt from the rows at the start."""

    reader_class: type[SqliteReader] = SqliteReader

    def __init__(self, dimensions: int, *, codec: Codec | None = None, index: VectorIndex | None = None) -> None:
        self.dimensions = dimensions
        self.facts = StoreFacts(memories=0, live_bytes=0, wal_bytes=0)
        self.corrupt: dict[int, str] = {}
        self.codec = codec or Int8Codec()
        self.reader_class: type[SqliteReader] = SqliteReader
        self._index = index or FlatIndex(dimensions)
        self._folder = Path()
        self._lock: TextIO | None = None
        self._connection: sqlite3.Connection | None = None
        self._count = 0

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the store is used before open() or after close()")
        return self._connection

    def open(self, folder: Path, embedder: str) -> None:
        """Lock the folder, open or create the file, verify every row and fill the index."""
        self._folder, self._lock = folder, schema.lock(folder)
        try:
            form = f"{self.codec.name}/{self.dimensions}/{embedder}"
            self._connection = schema.writing_connection(folder, form)
            self._load()
            self.facts = self._measured()
        except BaseException:
            self.close()
            raise

    def _load(self) -> None:
        cursor = self._db.execute(f"SELECT {COLUMNS} FROM engrams")  # noqa: S608 -- our own constant
        while rows := [Row(*row) for row in cursor.fetchmany(_BATCH)]:
            self._count += len(rows)
            if sound := [row for row in rows if self._is_sound(row)]:
                vectors = np.stack([self.vector(row.embedding) for row in sound])
                self._index.add([row.id for row in sound], vectors)

    def _is_sound(self, row: Row) -> bool:
        try:
            row.verify()
        except CorruptRowError as error:
            self.corrupt[row.id] = str(error)
            return False
        return True

    def vector(self, stored: bytes | str) -> Vector:
        """The unit vector that a column stands for."""
        only: Vector = unit(self.codec.decode(stored).reshape(1, -1))[0]
        return only

    def commit(self, changes: Sequence[Change]) -> list[Outcome]:
        """One transaction with a savepoint each. Where SQLite gives up the whole transaction, each is tried alone."""
        try:
            with self._transaction():
                done = [self._attempt(change) for change in changes]
        except sqlite3.Error as error:
            if len(changes) == 1:
                self._make_room()
                return [failure(error)]
            return [self.commit([change])[0] for change in changes]
        # The index follows the commit and comes before the answer: who was told that it is stored finds it.
        for one in done:
            if isinstance(one, _Added):
                self._index.add(one.ids, np.stack(one.vectors))
                self._count += len(one.ids)
            elif isinstance(one, _Forgotten):
                self._follow(one)
        self._settle(shorten=any(isinstance(one, _Forgotten) for one in done))
        return [one if isinstance(one, Exception) else one.outcome for one in done]

    def _make_room(self) -> None:
        """Write the log back, so that it starts anew: on a full disk a deletion needs room in it."""
        with suppress(sqlite3.Error):  # the failure that led here is told
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        # IMMEDIATE: an upgrade from a read lock is refused at once, whatever the timeout.
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # not after a full disk: SQLite has rolled back by itself
                self._db.execute("ROLLBACK")
            raise

    def _attempt(self, change: Change) -> _Added | _Forgotten | Exception:
        self._db.execute("SAVEPOINT one")
        try:
            done = self._add(change.drafts) if isinstance(change, Add) else self._forget(change)
        except Exception as error:
            if not self._db.in_transaction:
                raise  # of the whole group
            self._db.execute("ROLLBACK TO one")
            self._db.execute("RELEASE one")
            return failure(error) if isinstance(error, sqlite3.Error) else error
        self._db.execute("RELEASE one")
        return done

    def _add(self, drafts: Sequence[Draft]) -> _Added:
        change = self._numbers(len(drafts))
        last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'engrams'").fetchone()
        first = last[0] + 1 if last else 1
        rows = []
        for place, draft in enumerate(drafts):
            if draft.embedding is None:
                raise InvalidError("a memory came to the store without its embedding; store it through Memories")
            embedding = self.codec.encode(draft.embedding)
            rows.append(Row.of(draft, embedding, id=first + place, change=change + place))
        self._db.executemany(f"INSERT INTO engrams ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608 -- our own constant
        # The index sees what was stored, not what was meant: the same similarities before and after a restart.
        return _Added([row.id for row in rows], [self.vector(row.embedding) for row in rows])

    def _numbers(self, count: int) -> int:
        """The first of so many new change numbers."""
        (last,) = self._db.execute("UPDATE state SET change = change + ? RETURNING change", (count,)).fetchone()
        return int(last) - count + 1

    def _forget(self, change: Forget) -> _Forgotten:
        self._numbers(1)
        if change.everything:
            deleted = self._db.execute("DELETE FROM engrams RETURNING id")
        else:  # a selector that is None matches no row: in SQL nothing equals NULL
            selectors = (change.id, change.category)
            deleted = self._db.execute("DELETE FROM engrams WHERE id = ? OR category = ? RETURNING id", selectors)
        return _Forgotten([row[0] for row in deleted.fetchall()])

    def _follow(self, forgotten: _Forgotten) -> None:
        self._index.remove(forgotten.ids)
        self._count -= len(forgotten.ids)
        if self.corrupt:
            for number in forgotten.ids:
                self.corrupt.pop(number, None)

    def _settle(self, *, shorten: bool) -> None:
        """Give free pages back after a deletion, and measure. What was asked is done: no failure here undoes it."""
        # No space for the log, or a disk that fails: the next change meets it too and says so.
        with suppress(sqlite3.Error):
            if shorten and self._pragma("freelist_count") > _FREE_PAGES_KEPT:
                # One page per step, in rows without columns: execute() would stop after the first (Python 3.11).
                self._db.executescript("PRAGMA incremental_vacuum")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self.facts = self._measured()

    def _measured(self) -> StoreFacts:
        pages = self._pragma("page_count") - self._pragma("freelist_count")
        log = self._folder / f"{schema.FILE}-wal"
        return StoreFacts(
            memories=self._count,
            live_bytes=pages * self._pragma("page_size"),
            wal_bytes=log.stat().st_size if log.exists() else 0,
        )

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def reader(self) -> Reader:
        """A read-only connection and the index."""
        return self.reader_class(schema.reading_connection(self._folder), self._index, self.corrupt)

    def close(self) -> None:
        """Close the file, so that SQLite removes the log with its last connection; then unlock the folder."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
