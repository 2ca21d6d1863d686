"""Vectors in memory, by the id of their row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class VectorIndex(Protocol):
    """Nearest vectors by cosine; all vectors are unit vectors."""

    def add(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Add one row of `vectors` per id."""

    def remove(self, ids: Sequence[int]) -> None:
        """Remove those ids; unknown ones are no error."""

    def nearest(self, vector: Vectors, limit: int) -> list[tuple[int, float]]:
        """Up to `limit` pairs of id and cosine, most alike first."""


class FlatIndex:
    """Exact search over every vector: 4 bytes a dimension and memory, no training.

    Removing compacts in place but keeps the capacity (a C++ vector never shrinks by itself), so the index is copied
    into a new one once it is down to half of what it held: amortised, a removal still costs O(1) copies.
    """

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._index = self._new()
        self._capacity = 0

    def _new(self) -> Any:
        return faiss.IndexIDMap2(faiss.IndexFlatIP(self._dimensions))

    def add(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Add one row of `vectors` per id."""
        self._index.add_with_ids(np.ascontiguousarray(vectors), np.asarray(ids, dtype=np.int64))
        self._capacity = max(self._capacity, self._index.ntotal)

    def remove(self, ids: Sequence[int]) -> None:
        """Remove those ids; give the memory back once half of it is unused."""
        if ids:
            self._index.remove_ids(np.asarray(ids, dtype=np.int64))
        if self._index.ntotal <= self._capacity // 2:
            self._shrink()

    def _shrink(self) -> None:
        kept = self._new()
        if count := self._index.ntotal:
            kept.add_with_ids(self._index.index.reconstruct_n(0, count), faiss.vector_to_array(self._index.id_map))
        self._index, self._capacity = kept, kept.ntotal

    def nearest(self, vector: Vectors, limit: int) -> list[tuple[int, float]]:
        """Up to `limit` pairs of id and cosine, most alike first."""
        wanted = min(limit, self._index.ntotal)
        if wanted == 0:
            return []
        # OpenMP keeps this per calling thread, so it is said here. A second thread spins between searches: with 2000
        # vectors on two cores it cost 1,500 of 2,150 calls/s.
        faiss.omp_set_num_threads(1)
        similarities, ids = self._index.search(vector.reshape(1, -1), wanted)
        return [(int(number), float(similarity)) for number, similarity in zip(ids[0], similarities[0], strict=True)]
