"""The table of memories in SQLite with a vector index beside it. Not thread-safe: one thread owns it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from mimo_server.errors import SettingsError
from mimo_server.memory.codec import Codec, Int8Codec
from mimo_server.memory.embed import LexicalEmbedder, Vectors
from mimo_server.memory.index import FlatIndex, VectorIndex
from mimo_server.memory.record import Category, Draft, Hit, StoreFacts

_FREE_PAGES_KEPT = 64
"""Free pages worth keeping for the next rows (256 KiB at 4 KiB a page); above it the file is shortened."""
_BATCH = 512
"""Rows decoded or bound at a time: about 3 MB of vectors at 1536 dimensions."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS memories (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice: an old id cannot name a new memory
    content TEXT NOT NULL,
    category TEXT NOT NULL,
    importance REAL NOT NULL,
    embedding NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS memories_category ON memories (category);
CREATE TABLE IF NOT EXISTS format (embedding TEXT NOT NULL);
"""


class MemoryStore(Protocol):
    """Keeps memories. Every call may block; the caller brings the thread."""

    def open(self, path: Path) -> None:
        """Open or create. Raises SettingsError when the file was written in another format."""

    def add(self, drafts: Sequence[Draft]) -> list[int]:
        """Store all in one transaction and return their ids."""

    def search(self, query: str, limit: int, min_similarity: float) -> list[Hit]:
        """Up to `limit` memories with at least that cosine, most alike first."""

    def forget(self, *, number: int | None = None, category: Category | None = None, everything: bool = False) -> int:
        """Delete what any of the selectors names and return how many; without one nothing."""

    def facts(self) -> StoreFacts:
        """How big it is."""

    def close(self) -> None:
        """Let go of the file. A store that was never opened is no error."""


class SqliteStore:
    """Rows in SQLite, vectors in the index, which is rebuilt from the rows at the start."""

    def __init__(self, dimensions: int, *, codec: Codec | None = None, index: VectorIndex | None = None) -> None:
        self._embedder = LexicalEmbedder(dimensions)
        self._codec = codec or Int8Codec()
        self._index = index or FlatIndex(dimensions)
        self._format = f"{self._codec.name}/{dimensions}"
        self._connection: sqlite3.Connection | None = None
        self._count = 0

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise RuntimeError("the store is used before open() or after close()")
        return self._connection

    def open(self, path: Path) -> None:
        """Open or create the file and fill the index. Raises SettingsError when its format is another one."""
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only heard before the first table
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)
        found = self._db.execute("SELECT embedding FROM format").fetchone()
        if found is None:
            self._db.execute("INSERT INTO format VALUES (?)", (self._format,))
        elif found[0] != self._format:
            raise SettingsError(
                f"{path} holds embeddings as {found[0]}, and this server was told {self._format}; "
                "choose another --data folder, or the --dimensions and defects it was written with"
            )
        cursor = self._db.execute("SELECT id, embedding FROM memories")
        while rows := cursor.fetchmany(_BATCH):
            self._index.add([row[0] for row in rows], np.stack([self._codec.decode(row[1]) for row in rows]))
            self._count += len(rows)

    def add(self, drafts: Sequence[Draft]) -> list[int]:
        """Store all in one transaction and return their ids."""
        ids: list[int] = []
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for start in range(0, len(drafts), _BATCH):
                ids += self._insert(drafts[start : start + _BATCH])
        except BaseException:
            self._db.execute("ROLLBACK")
            self._index.remove(ids)
            raise
        self._db.execute("COMMIT")
        self._count += len(ids)
        return ids

    def _insert(self, drafts: Sequence[Draft]) -> list[int]:
        embeddings = [self._codec.encode(vector) for vector in self._embedder.embed([one.content for one in drafts])]
        now = time.time()
        ids = []
        for draft, embedding in zip(drafts, embeddings, strict=True):
            cursor = self._db.execute(
                "INSERT INTO memories (content, category, importance, embedding, created_at, updated_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (draft.content, draft.category, draft.importance, embedding, now, now),
            )
            ids.append(int(cursor.lastrowid or 0))
        # The index sees what was stored, not what was meant: the same similarities before and after a restart.
        self._index.add(ids, np.stack([self._codec.decode(embedding) for embedding in embeddings]))
        return ids

    def search(self, query: str, limit: int, min_similarity: float) -> list[Hit]:
        """Ask the index, then read only the rows that it names."""
        found = self._index.nearest(self.embedding_of(query), limit)
        hits = []
        for number, similarity in found:
            if similarity < min_similarity:
                break
            row = self._db.execute(
                "SELECT content, category, importance FROM memories WHERE id = ?", (number,)
            ).fetchone()
            hits.append(
                Hit(
                    id=number,
                    content=row[0],
                    category=Category(row[1]),
                    importance=row[2],
                    similarity=max(-1.0, min(1.0, similarity)),  # rounding may step over by 1e-2 in int8
                )
            )
        return hits

    def embedding_of(self, text: str) -> Vectors:
        """The unit vector of one text."""
        vector: Vectors = self._embedder.embed([text])[0]
        return vector

    def forget(self, *, number: int | None = None, category: Category | None = None, everything: bool = False) -> int:
        """Delete from table and index; after a larger deletion the file is shortened."""
        if everything:
            deleted = self._db.execute("DELETE FROM memories RETURNING id")
        else:  # a selector that is None matches no row: in SQL nothing equals NULL
            deleted = self._db.execute(
                "DELETE FROM memories WHERE id = ? OR category = ? RETURNING id", (number, category)
            )
        rows = deleted.fetchall()
        self._index.remove([row[0] for row in rows])
        self._count -= len(rows)
        if self._pragma("freelist_count") > _FREE_PAGES_KEPT:
            # One page per step, in rows without columns: execute() would stop after the first (Python 3.11).
            self._db.executescript("PRAGMA incremental_vacuum")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return len(rows)

    def facts(self) -> StoreFacts:
        """Rows and live bytes; constant time."""
        pages = self._pragma("page_count") - self._pragma("freelist_count")
        return StoreFacts(memories=self._count, live_bytes=pages * self._pragma("page_size"))

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def close(self) -> None:
        """Let go of the file; SQLite removes the write-ahead log with its last connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
