"""faiss IndexFlatIP with ids. Kept by write_index at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np

from engines import Rows, importance


class Engine:
    """Exact."""

    is_kept = True
    filters = True

    def __init__(self, folder: Path, dimensions: int) -> None:
        faiss.omp_set_num_threads(1)
        self.path = folder / "index.faiss"
        self.index = faiss.read_index(str(self.path)) if self.path.exists() else self.made(dimensions)

    def made(self, dimensions: int) -> faiss.Index:
        """A new one."""
        return faiss.IndexIDMap2(faiss.IndexFlatIP(dimensions))

    def add(self, first: int, rows: Rows) -> None:
        """With their numbers."""
        self.index.add_with_ids(rows, np.arange(first, first + len(rows)))

    def search(self, query: Rows, k: int) -> Sequence[int]:
        """One query."""
        return self.index.search(query.reshape(1, -1), k)[1][0].tolist()

    def search_among(self, query: Rows, k: int, least: float) -> Sequence[int]:
        """By a bitmap of those that fit."""
        fits = np.packbits(importance(np.arange(self.index.ntotal)) >= least, bitorder="little")
        chosen = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(fits))
        return self.index.search(query.reshape(1, -1), k, params=chosen)[1][0].tolist()

    def remove(self, numbers: Sequence[int]) -> None:
        """Moves all that come after."""
        self.index.remove_ids(np.array(numbers, dtype=np.int64))

    def close(self) -> None:
        """Write all of it."""
        faiss.write_index(self.index, str(self.path))
