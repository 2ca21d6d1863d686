"""A set of vectors on the disk, as float16, with its queries and their exact neighbours: made once, then read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from engines import importance
from numpy.typing import NDArray
from vectors import BLOCK, DIMENSIONS, KINDS, Rows, Vectors

QUERIES = 1000
_MORE = 2000
"""Queries of the generator: the first half is searched for, of the other some are added."""


class Set:
    """`KIND-COUNT` in a folder: vectors.f16, queries, and neighbours for each number of vectors that was asked for."""

    def __init__(self, kind: str, count: int, folder: Path) -> None:
        self.kind, self.count, self.dimensions = kind, count, DIMENSIONS
        self._folder = folder
        self._path = folder / f"{kind}-{count}.f16"
        self._asks = folder / f"{kind}-{count}-queries.npy"

    def make(self) -> None:
        """Write the vectors and the queries, unless they are there."""
        if not self._asks.exists():
            np.save(self._asks, Vectors(KINDS[self.kind], self.count).queries(_MORE))
        if self._path.exists():
            return
        part = self._path.with_suffix(".part")
        with part.open("wb") as file:
            for rows in Vectors(KINDS[self.kind], self.count).blocks():
                file.write(rows.astype("<f2").tobytes())
        part.rename(self._path)

    @cached_property
    def _stored(self) -> NDArray[np.float16]:
        return np.memmap(self._path, dtype="<f2", mode="r", shape=(self.count, self.dimensions))

    def batches(self, size: int) -> Iterator[Rows]:
        """All vectors as unit vectors in float32; read, and not mapped into whoever measures its own memory."""
        with self._path.open("rb") as file:
            while data := file.read(size * self.dimensions * 2):
                rows = np.frombuffer(data, dtype="<f2").reshape(-1, self.dimensions).astype(np.float32)
                yield rows / np.linalg.norm(rows, axis=1, keepdims=True)

    @cached_property
    def queries(self) -> Rows:
        """A thousand that are in no set."""
        found: Rows = np.load(self._asks)[:QUERIES]
        return found

    def more(self, count: int) -> Rows:
        """Vectors to add beside the others."""
        found: Rows = np.load(self._asks)[QUERIES : QUERIES + count]
        return found

    def find(self, added: int, k: int, shares: tuple[float, ...]) -> None:
        """Work out the exact neighbours among the first `added` vectors, of all and of those of an importance."""
        path = self._truth(added)
        if path.exists():
            return
        best = {share: _Best(self.queries, k) for share in (1.0, *shares)}
        first = 0
        for rows in self.batches(BLOCK):
            rows = rows[: added - first]  # noqa: PLW2901 -- the last one may be cut
            numbers = np.arange(first, first + len(rows))
            worth = importance(numbers)
            for share, one in best.items():
                fits = worth >= 1 - share
                one.meet(rows[fits], numbers[fits])
            first += len(rows)
            if first >= added:
                break
        path.write_text(json.dumps({str(share): one.numbers.tolist() for share, one in best.items()}), encoding="ascii")

    def true(self, added: int, share: float = 1.0) -> list[list[int]]:
        """What `find` has found."""
        found: dict[str, Any] = json.loads(self._truth(added).read_text(encoding="ascii"))
        return [list(map(int, one)) for one in found[str(share)]]

    def _truth(self, added: int) -> Path:
        return self._folder / f"{self.kind}-{self.count}-true-{added}.json"


class _Best:
    """The k nearest of each query so far."""

    def __init__(self, queries: Rows, k: int) -> None:
        self._queries, self._k = queries, k
        self.numbers = np.full((len(queries), k), -1, dtype=np.int64)
        self._likeness = np.full((len(queries), k), -2.0, dtype=np.float32)

    def meet(self, rows: Rows, numbers: NDArray[np.int64]) -> None:
        """Look at some more."""
        if not len(rows):
            return
        likeness = np.concatenate([self._likeness, self._queries @ rows.T], axis=1)
        names = np.concatenate([self.numbers, np.broadcast_to(numbers, (len(self._queries), len(numbers)))], axis=1)
        order = np.argsort(-likeness, axis=1)[:, : self._k] if likeness.shape[1] <= self._k else self._largest(likeness)
        self._likeness = np.take_along_axis(likeness, order, axis=1)
        self.numbers = np.take_along_axis(names, order, axis=1)

    def _largest(self, likeness: Rows) -> NDArray[np.int64]:
        some = np.argpartition(-likeness, self._k - 1, axis=1)[:, : self._k]
        return np.take_along_axis(some, np.argsort(-np.take_along_axis(likeness, some, axis=1), axis=1), axis=1)
