"""The store behind its small interface, and the one in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Protocol, TextIO, TypeVar

from mimo_server.errors import SettingsError, StoreError
from mimo_server.memory import schema
from mimo_server.memory.changes import Added, Changes, Forgotten
from mimo_server.memory.codec import Codec, Int8Codec
from mimo_server.memory.failpoints import reached
from mimo_server.memory.failures import failure
from mimo_server.memory.index import Found, VectorIndex
from mimo_server.memory.mapped import MappedIndex
from mimo_server.memory.reader import Reader, SqliteReader
from mimo_server.memory.record import Add, Change, StoreFacts
from mimo_server.memory.rows import Row
from mimo_server.memory.seal import Seal, Sealed
from mimo_server.memory.truth import RowTruth, entries_of

_FREE_PAGES_KEPT = 64
"""Free pages worth keeping for the next rows (256 KiB at 4 KiB a page); above it the file is shortened."""

Outcome = int | list[int] | Exception
"""Of a change: the new ids, how many were forgotten, or why it failed."""


Done = TypeVar("Done")


def _runs(changes: Sequence[Change]) -> Iterator[Sequence[Change]]:
    """Those that are next to each other and all add, or all do not."""
    for _, some in groupby(changes, key=lambda change: isinstance(change, Add)):
        yield list(some)


class MemoryStore(Protocol):
    """Keeps memories. Every call may block. One thread opens, commits and closes; readers go to any thread."""

    dimensions: int
    facts: StoreFacts
    """As of the last commit; may be read from any thread."""
    corrupt: dict[int, str]
    """Memories found damaged, and how they were; a change that forgets one takes it out."""
    opened: Opened
    """What was found when it was opened."""

    @property
    def trouble(self) -> str | None:
        """What stands in the way of its promises, though it goes on; None: nothing."""

    @property
    def waiting(self) -> int:
        """Memories that searches look at one by one, because the index does not have them yet."""

    def open(self, folder: Path, embedder: str) -> None:
        """Open or create. Raises SettingsError when the folder is another server's, or of another format."""

    def commit(self, changes: Sequence[Change]) -> list[Outcome]:
        """Do all in one transaction; one that fails is undone alone. What is returned as done is on the disk."""

    def reader(self) -> Reader:
        """One more that reads beside the writer."""

    def close(self) -> None:
        """Let go of the folder. A store that was never opened is no error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a store found when it was opened."""

    index: Found = field(default_factory=Found)
    lost_changes: int = 0
    """Acknowledged, and not in the database any more."""
    seal_damaged: bool = False
    """So that nobody can tell whether there are such."""


class SqliteStore:
    """Rows in SQLite, which are the truth; the index is derived from them, and a seal says how far they must reach."""

    reader_class: type[SqliteReader] = SqliteReader

    def __init__(self, dimensions: int, *, codec: Codec | None = None, index: VectorIndex | None = None) -> None:
        self.dimensions = dimensions
        self.facts = StoreFacts(memories=0, live_bytes=0, wal_bytes=0)
        self.corrupt: dict[int, str] = {}
        self.opened = Opened()
        self.codec = codec or Int8Codec()
        self._index = index or MappedIndex(dimensions)
        self._folder = Path()
        self._lock: TextIO | None = None
        self._connection: sqlite3.Connection | None = None
        self._changes: Changes
        self._truth: RowTruth | None = None
        self._seal: Seal | None = None
        self._unsealed_why: str | None = None
        self._count = 0
        self._last_id = 0

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the store is used before open() or after close()")
        return self._connection

    @property
    def trouble(self) -> str | None:
        """A change that was not sealed, or an index that does not follow."""
        return self._unsealed_why or self._index.trouble

    @property
    def waiting(self) -> int:
        """Memories that the index does not have yet."""
        return self._index.waiting

    def open(self, folder: Path, embedder: str) -> None:
        """Lock the folder, open or create what is in it, and make the index agree with the rows."""
        self._folder, self._lock = folder, schema.lock(folder)
        try:
            form = f"{self.codec.name}/{self.dimensions}/{embedder}"
            self._connection = schema.writing_connection(folder, form)
            self._changes = Changes(self._connection, self.codec)
            (self._count,) = self._db.execute("SELECT count(*) FROM engrams").fetchone()
            last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'engrams'").fetchone()
            self._last_id = int(last[0]) if last else 0
            lost, damaged = self._unsealed(folder)
            reading = schema.reading_connection(folder)
            self._truth = RowTruth(reading, self.codec, self.corrupt)
            found = self._index.open(folder, self._truth)
            self.opened = Opened(index=found, lost_changes=lost, seal_damaged=damaged)
            self.facts = self._measured()
        except (sqlite3.Error, StoreError) as error:
            self.close()
            raise SettingsError(
                f"{folder / schema.FILE} cannot be used ({error}); see what `mimo-server fsck` says, restore the "
                "folder from a copy, or choose another --data folder"
            ) from error
        except BaseException:
            self.close()
            raise

    def _unsealed(self, folder: Path) -> tuple[int, bool]:
        """How many changes the database lost, and whether the seal was damaged. Numbers lost are never given again."""
        try:
            self._seal = Seal(folder)
            sealed = self._seal.read()
        except OSError as error:
            raise SettingsError(
                f"{folder} cannot be used ({error}); choose a --data folder that you may write"
            ) from error
        (change,) = self._db.execute("SELECT change FROM state").fetchone()
        lost = 0 if sealed is None else max(0, sealed.change - change)
        if sealed is not None and lost:
            with self._transaction():
                self._db.execute("UPDATE state SET change = ?", (sealed.change,))
                self._last_id = max(self._last_id, sealed.last_id)
                self._db.execute("DELETE FROM sqlite_sequence WHERE name = 'engrams'")
                self._db.execute("INSERT INTO sqlite_sequence VALUES ('engrams', ?)", (self._last_id,))
        return lost, sealed is None and not self._seal.is_new

    def commit(self, changes: Sequence[Change]) -> list[Outcome]:
        """One transaction with a savepoint each. Where SQLite gives up the whole transaction, each is tried alone."""
        try:
            self._index.reserve(sum(len(change.drafts) for change in changes if isinstance(change, Add)))
        except StoreError as error:  # deletions make room
            if all(isinstance(change, Add) for change in changes):
                return [error] * len(changes)
            return [error if isinstance(change, Add) else self.commit([change])[0] for change in changes]
        self._changes.count = self._count
        try:
            with self._transaction():
                done = [one for some in _runs(changes) for one in self._attempted(some)]
                reached("before_commit")
        except sqlite3.Error as error:
            if len(changes) == 1:
                self._make_room()
                return [failure(error)]
            return [self.commit([change])[0] for change in changes]
        reached("committed")
        # The index follows the commit and comes before the answer: who was told that it is stored finds it.
        self._follow(
            added=[row for one in done if isinstance(one, Added) for row in one.rows],
            forgotten=[number for one in done if isinstance(one, Forgotten) for number in one.ids],
        )
        reached("indexed")
        self._sealed()
        reached("sealed")
        self._settle(shorten=any(isinstance(one, Forgotten) for one in done))
        return [one if isinstance(one, Exception) else one.outcome for one in done]

    def _sealed(self) -> None:
        """Note on the disk how far the database must reach from now on."""
        if self._seal is None:
            raise RuntimeError("the store is used before open() or after close()")
        (change,) = self._db.execute("SELECT change FROM state").fetchone()
        try:
            self._seal.write(Sealed(change=change, last_id=self._last_id, memories=self._count))
        except OSError as error:  # the change itself is on the disk
            self._unsealed_why = f"the seal cannot be written ({error}); look at the disk of the data folder"
        else:
            self._unsealed_why = None

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

    def _attempted(self, changes: Sequence[Change]) -> Sequence[Added | Forgotten | Exception]:
        """Additions all at once, which is a third of the work; where one of them fails, each alone."""
        adding = [change for change in changes if isinstance(change, Add)]
        if 1 < len(adding) == len(changes):
            done = self._attempt(partial(self._changes.added, adding))
            if not isinstance(done, Exception):
                return done
        return [self._attempt(partial(self._changes.made, change)) for change in changes]

    def _attempt(self, make: Callable[[], Done]) -> Done | Exception:
        self._db.execute("SAVEPOINT one")
        try:
            done = make()
        except Exception as error:
            if not self._db.in_transaction:
                raise  # of the whole group
            self._db.execute("ROLLBACK TO one")
            self._db.execute("RELEASE one")
            return failure(error) if isinstance(error, sqlite3.Error) else error
        self._db.execute("RELEASE one")
        return done

    def _follow(self, added: Sequence[Row], forgotten: Sequence[int]) -> None:
        if added:
            # What was stored, not what was meant: the same similarities before and after a restart.
            self._index.add(entries_of(added, self.codec))
            self._last_id = added[-1].id
        if forgotten:  # after the additions: what was stored and forgotten in one group is gone
            self._index.remove(forgotten)
            for number in forgotten:
                self.corrupt.pop(number, None)
        self._count += len(added) - len(forgotten)

    def _settle(self, *, shorten: bool) -> None:
        """Give free pages back after a deletion, and measure. What was asked is done: no failure here undoes it."""
        # No space for the log, or a disk that fails: the next change meets it too and says so.
        with suppress(sqlite3.Error):
            if shorten and self._pragma("freelist_count") > _FREE_PAGES_KEPT:
                # One page per step, in rows without columns: execute() would stop after the first (Python 3.11).
                self._db.executescript("PRAGMA incremental_vacuum")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                reached("checkpointed")
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
        return self.reader_class(schema.reading_connection(self._folder), self._index, self.codec, self.corrupt)

    def close(self) -> None:
        """Close the files, so that SQLite removes the log with its last connection; then unlock the folder."""
        self._index.close()
        for part in (self._truth, self._connection, self._seal, self._lock):
            if part is not None:
                part.close()
        self._truth = self._connection = self._seal = self._lock = None
