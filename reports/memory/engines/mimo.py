"""The reference server's store, without the server: rows in SQLite, synchronous=FULL, and the index in files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engines import Rows, importance
from mimo_server.memory.record import Add, Category, Draft, Forget, Search
from mimo_server.memory.store import SqliteStore


class Engine:
    """Ids of the store are numbers + 1."""

    is_kept = True
    filters = True

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.store = SqliteStore(dimensions)
        self.store.open(folder, "bench")
        self.reader = self.store.reader()

    def add(self, first: int, rows: Rows) -> None:
        """In one change."""
        numbers = np.arange(first, first + len(rows))
        drafts = [
            Draft(
                content=f"memory number {number}: what was said, and by whom, in some eighty characters of text or so",
                category=Category.FACT,
                importance=float(worth),
                embedding=row,
                created_at=1e9,
            )
            for number, worth, row in zip(numbers.tolist(), importance(numbers), rows, strict=True)
        ]
        (outcome,) = self.store.commit([Add(drafts=drafts)])
        if isinstance(outcome, Exception):
            raise outcome

    def search(self, query: Rows, k: int) -> Sequence[int]:
        """With the rows, as the server answers."""
        return self._found(Search(vector=query, limit=k), query)

    def search_among(self, query: Rows, k: int, least: float) -> Sequence[int]:
        """By a filter."""
        return self._found(Search(vector=query, limit=k, min_importance=least), query)

    def _found(self, search: Search, query: Rows) -> list[int]:
        return [hit.memory.id - 1 for hit in self.reader.search(search, query).hits]

    def remove(self, numbers: Sequence[int]) -> None:
        """One change each."""
        self.store.commit([Forget(id=number + 1) for number in numbers])

    def close(self) -> None:
        """Reader first."""
        self.reader.close()
        self.store.close()
