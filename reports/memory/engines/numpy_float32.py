"""A matrix of float32 and a product: what everybody begins with. Kept in memory only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engines import Rows, importance


class Engine:
    """Grows by doubling, as a list does."""

    is_kept = False
    filters = True

    def __init__(self, folder: Path, dimensions: int) -> None:  # noqa: ARG002 -- nothing is kept
        self.rows = np.empty((1024, dimensions), dtype=np.float32)
        self.count = 0

    def add(self, first: int, rows: Rows) -> None:
        """Behind the others."""
        while first + len(rows) > len(self.rows):
            self.rows = np.concatenate([self.rows, np.empty_like(self.rows)])
        self.rows[first : first + len(rows)] = rows
        self.count = first + len(rows)

    def _best(self, likeness: Rows, k: int) -> list[int]:
        best = np.argpartition(-likeness, min(k, len(likeness) - 1))[:k]
        return [int(number) for number in best[np.argsort(-likeness[best])]]

    def search(self, query: Rows, k: int) -> Sequence[int]:
        """All of them."""
        return self._best(self.rows[: self.count] @ query, k)

    def search_among(self, query: Rows, k: int, least: float) -> Sequence[int]:
        """All of them, then those that do not fit are put last."""
        likeness = self.rows[: self.count] @ query
        likeness[importance(np.arange(self.count)) < least] = -2.0
        return self._best(likeness, k)

    def remove(self, numbers: Sequence[int]) -> None:
        """Zeros are like nothing."""
        self.rows[list(numbers)] = 0.0

    def close(self) -> None:
        """Nothing."""
