"""sqlite-vec: a vec0 table of float32 with a metadata column, cosine, in WAL with synchronous=FULL."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import apsw
import numpy as np
import sqlite_vec

from engines import Rows, importance


class Engine:
    """Brute force inside SQLite."""

    is_kept = True
    filters = True

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.db = apsw.Connection(str(folder / "vectors.sqlite3"))  # Python's own may be built without extensions
        self.db.enable_load_extension(True)
        self.db.load_extension(sqlite_vec.loadable_path())
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS vectors USING vec0(number INTEGER PRIMARY KEY, "
            f"row float[{dimensions}] distance_metric=cosine, importance FLOAT)"
        )

    def add(self, first: int, rows: Rows) -> None:
        """In one transaction."""
        numbers = np.arange(first, first + len(rows))
        values = zip(numbers.tolist(), map(bytes, rows), importance(numbers).tolist(), strict=True)
        self.db.execute("BEGIN IMMEDIATE")
        self.db.executemany("INSERT INTO vectors (number, row, importance) VALUES (?, ?, ?)", values)
        self.db.execute("COMMIT")

    def search(self, query: Rows, k: int) -> Sequence[int]:
        """One query."""
        found = self.db.execute("SELECT number FROM vectors WHERE row MATCH ? AND k = ?", (bytes(query), k))
        return [number for (number,) in found]

    def search_among(self, query: Rows, k: int, least: float) -> Sequence[int]:
        """By its metadata column."""
        found = self.db.execute(
            "SELECT number FROM vectors WHERE row MATCH ? AND k = ? AND importance >= ?", (bytes(query), k, least)
        )
        return [number for (number,) in found]

    def remove(self, numbers: Sequence[int]) -> None:
        """One statement each."""
        self.db.executemany("DELETE FROM vectors WHERE number = ?", [(number,) for number in numbers])

    def close(self) -> None:
        """Close the file."""
        self.db.close()
