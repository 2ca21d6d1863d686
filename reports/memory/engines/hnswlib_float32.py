"""hnswlib, M=16, ef_construction=200, ef=64; its size is doubled when it is full. Kept by save_index at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import hnswlib
import numpy as np

from engines import Rows, importance


class Engine:
    """As its README begins."""

    is_kept = True
    filters = True

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.path = folder / "index.hnsw"
        self.index = hnswlib.Index(space="ip", dim=dimensions)
        if self.path.exists():
            self.index.load_index(str(self.path), max_elements=0)
        else:
            self.index.init_index(max_elements=10_000, M=16, ef_construction=200, allow_replace_deleted=False)
        self.index.set_ef(64)
        self.index.set_num_threads(1)

    def add(self, first: int, rows: Rows) -> None:
        """With their numbers."""
        while first + len(rows) > self.index.get_max_elements():
            self.index.resize_index(2 * self.index.get_max_elements())
        self.index.add_items(rows, np.arange(first, first + len(rows)), num_threads=1)

    def search(self, query: Rows, k: int) -> Sequence[int]:
        """One query."""
        return self.index.knn_query(query, k=k, num_threads=1)[0][0].tolist()

    def search_among(self, query: Rows, k: int, least: float) -> Sequence[int]:
        """By a function that is called for each that it meets."""
        fits = importance(np.arange(self.index.get_current_count())) >= least
        found = self.index.knn_query(query, k=k, num_threads=1, filter=lambda number: bool(fits[number]))
        return found[0][0].tolist()

    def remove(self, numbers: Sequence[int]) -> None:
        """Marks them."""
        for number in numbers:
            self.index.mark_deleted(number)

    def close(self) -> None:
        """Write all of it."""
        self.index.save_index(str(self.path))
