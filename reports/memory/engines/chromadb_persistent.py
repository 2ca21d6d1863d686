"""chromadb's PersistentClient, its defaults, cosine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import chromadb
import numpy as np
from chromadb.config import Settings

from engines import Rows, importance

_MOST = 5000
"""Of one call: its own limit is 5,461."""


class Engine:
    """As its documentation begins."""

    is_kept = True
    filters = True

    def __init__(self, folder: Path, dimensions: int) -> None:  # noqa: ARG002 -- the first vector says it
        client = chromadb.PersistentClient(str(folder / "chroma"), settings=Settings(anonymized_telemetry=False))
        self.collection = client.get_or_create_collection("memories", metadata={"hnsw:space": "cosine"})

    def add(self, first: int, rows: Rows) -> None:
        """With a document of some eighty characters."""
        for begin in range(0, len(rows), _MOST):
            part = rows[begin : begin + _MOST]
            numbers = np.arange(first + begin, first + begin + len(part))
            self.collection.add(
                ids=[str(number) for number in numbers],
                embeddings=part,
                metadatas=[{"importance": float(one)} for one in importance(numbers)],
                documents=[f"memory number {number}: what was said, and by whom, in some text" for number in numbers],
            )

    def search(self, query: Rows, k: int) -> Sequence[int]:
        """One query."""
        return self._numbers(self.collection.query(query_embeddings=[query], n_results=k))

    def search_among(self, query: Rows, k: int, least: float) -> Sequence[int]:
        """By its where."""
        where = {"importance": {"$gte": least}}
        return self._numbers(self.collection.query(query_embeddings=[query], n_results=k, where=where))

    @staticmethod
    def _numbers(answer: chromadb.QueryResult) -> list[int]:
        return [int(number) for number in answer["ids"][0]]

    def remove(self, numbers: Sequence[int]) -> None:
        """By ids."""
        self.collection.delete(ids=[str(number) for number in numbers])

    def close(self) -> None:
        """It has no end of its own."""
