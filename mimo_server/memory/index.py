"""Vectors in memory, by the id of their row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from mimo_server.memory.gate import Gate
from mimo_server.memory.record import Vector, Vectors

Ids = NDArray[np.int64]


class Rank(NamedTuple):
    """A memory's place in an answer: higher similarity first, then lower id."""

    similarity: float
    id: int

    def before(self, other: Rank) -> bool:
        """Whether it comes earlier."""
        return (-self.similarity, self.id) < (-other.similarity, other.id)


class VectorIndex(Protocol):
    """Nearest vectors by cosine; all vectors are unit vectors. Called from any thread."""

    def add(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Add one row of `vectors` per id."""

    def remove(self, ids: Sequence[int]) -> None:
        """Remove those ids; unknown ones are no error."""

    def nearest(
        self, vector: Vector, limit: int, *, after: Rank | None = None, seen: int = 0, among: Ids | None = None
    ) -> list[Rank]:
        """The next `limit` in order: those that come after `after`, of the ids `among` where it is given.

        Fewer only where there are no more. `seen` is a guess of how many come up to `after`: it saves work.
        """


class FlatIndex:
    """Exact search over every vector: 4 bytes a dimension and memory, no training.

    FAISS finds candidates in float32; their similarities are then worked out again in float64, row by row, so that
    equal vectors are equally alike wherever they lie, and the order does not change from one call to the next.

    FAISS lets many threads search and allows nothing beside a change: that is what the gate is for. A search holds up
    an addition by its own length, an addition holds up searches by tens of microseconds.

    Removing compacts in place but keeps the capacity (a C++ vector never shrinks by itself), so the index is copied
    into a new one once it is down to half of what it held: amortised, a removal still costs O(1) copies.
    """

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._index = self._new()
        self._capacity = 0
        self._gate = Gate()
        # Of a float32 dot product of unit vectors: each of d additions rounds by at most 2^-24.
        self._error = dimensions * 2.0**-23

    def _new(self) -> Any:
        return faiss.IndexIDMap2(faiss.IndexFlatIP(self._dimensions))

    def add(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Add one row of `vectors` per id."""
        with self._gate.changing():
            self._index.add_with_ids(np.ascontiguousarray(vectors), np.asarray(ids, dtype=np.int64))
            self._capacity = max(self._capacity, self._index.ntotal)

    def remove(self, ids: Sequence[int]) -> None:
        """Remove those ids; give the memory back once half of it is unused."""
        with self._gate.changing():
            if ids:
                self._index.remove_ids(np.asarray(ids, dtype=np.int64))
            if self._index.ntotal <= self._capacity // 2:
                self._shrink()

    def _shrink(self) -> None:
        kept = self._new()
        if count := self._index.ntotal:
            kept.add_with_ids(self._index.index.reconstruct_n(0, count), faiss.vector_to_array(self._index.id_map))
        self._index, self._capacity = kept, kept.ntotal

    def nearest(
        self, vector: Vector, limit: int, *, after: Rank | None = None, seen: int = 0, among: Ids | None = None
    ) -> list[Rank]:
        """The next `limit` in order, exact: candidates are fetched until no other can come before the last."""
        with self._gate.reading():
            most = self._index.ntotal if among is None else min(len(among), self._index.ntotal)
            wanted = min(most, seen + limit + 8)
            while wanted:
                ids, edge = self._candidates(vector, wanted, among)
                ranks = [rank for rank in self._ranked(vector, ids) if after is None or after.before(rank)]
                if wanted == most:
                    return ranks[:limit]
                # What was not fetched is at most as alike as the last that was, give or take the error of both.
                sure = [rank for rank in ranks if rank.similarity > edge + self._error]
                if len(sure) >= limit:
                    return sure[:limit]
                wanted = min(most, 4 * wanted)
            return []

    def _candidates(self, vector: Vector, wanted: int, among: Ids | None) -> tuple[Ids, float]:
        # OpenMP keeps this per calling thread, so it is said here. A second thread spins between searches: with 2000
        # vectors on two cores it cost 1,500 of 2,150 calls/s.
        faiss.omp_set_num_threads(1)
        only = None if among is None else faiss.SearchParameters(sel=faiss.IDSelectorBatch(among))  # type: ignore[call-arg]  # SWIG takes fields by name
        similarities, ids = self._index.search(vector.reshape(1, -1), wanted, params=only)
        found = ids[0] >= 0  # -1 fills up where fewer are there
        return ids[0][found], float(similarities[0][-1])

    def _ranked(self, vector: Vector, ids: Ids) -> list[Rank]:
        if not len(ids):
            return []
        products = self._index.reconstruct_batch(ids).astype(np.float64) * vector.astype(np.float64)
        exact = np.clip(products.sum(axis=1), -1.0, 1.0)  # float32 components make a length of 1 ± 1e-7
        order = np.lexsort((ids, -exact))
        return [Rank(float(exact[place]), int(ids[place])) for place in order]
