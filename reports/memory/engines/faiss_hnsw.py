"""faiss IndexHNSWFlat, M=32, efSearch=64. It cannot remove."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np

from engines import Rows, importance


class Engine:
    """Numbers are places."""

    is_kept = True
    filters = True

    def __init__(self, folder: Path, dimensions: int) -> None:
        faiss.omp_set_num_threads(1)
        self.path = folder / "index.faiss"
        if self.path.exists():
            self.index = faiss.read_index(str(self.path))
        else:
            self.index = faiss.IndexHNSWFlat(dimensions, 32, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efSearch = 64

    def add(self, first: int, rows: Rows) -> None:  # noqa: ARG002 -- places are given in order
        """Link them."""
        self.index.add(rows)

    def search(self, query: Rows, k: int) -> Sequence[int]:
        """One query."""
        return self.index.search(query.reshape(1, -1), k)[1][0].tolist()

    def search_among(self, query: Rows, k: int, least: float) -> Sequence[int]:
        """By a bitmap of those that fit."""
        fits = np.packbits(importance(np.arange(self.index.ntotal)) >= least, bitorder="little")
        chosen = faiss.SearchParametersHNSW(sel=faiss.IDSelectorBitmap(fits), efSearch=64)
        return self.index.search(query.reshape(1, -1), k, params=chosen)[1][0].tolist()

    def remove(self, numbers: Sequence[int]) -> None:
        """It has none."""
        raise NotImplementedError("faiss's HNSW has no removal")

    def close(self) -> None:
        """Write all of it."""
        faiss.write_index(self.index, str(self.path))
