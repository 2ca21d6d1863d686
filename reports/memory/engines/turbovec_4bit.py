"""turbovec's IdMapIndex, 4 bits a dimension; synced to its file after each addition."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from turbovec import IdMapIndex

from engines import Rows, importance


class Engine:
    """As its README begins."""

    is_kept = True
    filters = True

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.path = folder / "index.tvim"
        if self.path.exists():
            self.index = IdMapIndex.load(str(self.path))
        else:
            self.index = IdMapIndex(dim=dimensions, bit_width=4)
        self.count = len(self.index)

    def add(self, first: int, rows: Rows) -> None:
        """With their numbers."""
        self.index.add_with_ids(rows, np.arange(first, first + len(rows), dtype=np.uint64))
        self.count = first + len(rows)
        self.index.sync(str(self.path))

    def search(self, query: Rows, k: int) -> Sequence[int]:
        """One query."""
        return np.asarray(self.index.search(query.reshape(1, -1), k)[1])[0].tolist()

    def search_among(self, query: Rows, k: int, least: float) -> Sequence[int]:
        """By a list of those that fit."""
        fits = np.flatnonzero(importance(np.arange(self.count)) >= least).astype(np.uint64)
        return np.asarray(self.index.search(query.reshape(1, -1), k, allowlist=fits)[1])[0].tolist()

    def remove(self, numbers: Sequence[int]) -> None:
        """One by one."""
        for number in numbers:
            self.index.remove(number)

    def close(self) -> None:
        """Have the rest on the disk."""
        self.index.sync(str(self.path))
