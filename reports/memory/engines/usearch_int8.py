"""usearch, HNSW over int8, its defaults. Kept by save at the end; it has no filter in Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from usearch.index import Index

from engines import Rows


class Engine:
    """As its README begins."""

    is_kept = True
    filters = False

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.path = folder / "index.usearch"
        self.index = Index(ndim=dimensions, metric="cos", dtype="i8")
        if self.path.exists():
            self.index.load(str(self.path))

    def add(self, first: int, rows: Rows) -> None:
        """With their numbers, on one thread."""
        self.index.add(np.arange(first, first + len(rows)), rows, threads=1)

    def search(self, query: Rows, k: int) -> Sequence[int]:
        """One query."""
        return [int(key) for key in self.index.search(query, k, threads=1).keys]

    def search_among(self, query: Rows, k: int, least: float) -> Sequence[int]:
        """It has none."""
        raise NotImplementedError("usearch has no filter in Python")

    def remove(self, numbers: Sequence[int]) -> None:
        """Marks them."""
        self.index.remove(np.array(numbers))

    def close(self) -> None:
        """Write all of it."""
        self.index.save(str(self.path))
