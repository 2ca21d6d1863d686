"""Embeddings as JSON text, and every row read for every search. Not a leak."""

from __future__ import annotations

import json
from collections.abc import Sequence
from operator import mul

import numpy as np
from numpy.typing import NDArray

from mimo_server.app import App
from mimo_server.defects import Defect, LookAlike
from mimo_server.memory.index import Vectors
from mimo_server.memory.record import Category, Hit
from mimo_server.memory.store import SqliteStore

DEFECT = Defect(
    id="json_text_scan",
    words="Large embedding binaries stored as JSON text; full table scan for every memory search operation",
    mechanism=(
        "An embedding is stored as a JSON array of float64 in text, about 20 bytes a dimension against 1 for int8, and "
        "a search reads all rows, parses all texts and compares in Python lists. What is stored grows with what was "
        "stored, and a search's memory is freed when it has answered: more data and a peak, no leak."
    ),
    truth=LookAlike(shapes=("stored", "peak"), operation="call:memory_search"),
)


class JsonText:
    """A JSON array in text."""

    name = "json"

    def encode(self, vector: NDArray[np.float32]) -> str:
        """As many digits as a float64 has."""
        exact = vector.astype(np.float64)
        return json.dumps((exact / np.linalg.norm(exact)).tolist())

    def decode(self, stored: bytes | str) -> NDArray[np.float32]:
        """All of them parsed again."""
        return np.array(json.loads(stored), dtype=np.float32)


class NoIndex:
    """There is none: a search reads the table."""

    def add(self, ids: Sequence[int], vectors: Vectors) -> None:
        """Nothing is kept."""

    def remove(self, ids: Sequence[int]) -> None:
        """Nothing was kept."""

    def nearest(self, vector: Vectors, limit: int) -> list[tuple[int, float]]:  # noqa: ARG002
        """Nothing is found here."""
        return []


class ScanningStore(SqliteStore):
    """The same table with another column format; a search loads it whole."""

    def __init__(self, dimensions: int) -> None:
        super().__init__(dimensions, codec=JsonText(), index=NoIndex())

    def search(self, query: str, limit: int, min_similarity: float) -> list[Hit]:
        """Load all, compare all, sort all, take a few."""
        wanted = self.embedding_of(query).tolist()
        rows = self._db.execute("SELECT id, content, category, importance, embedding FROM memories").fetchall()
        memories = [(*row[:4], json.loads(row[4])) for row in rows]
        hits = [
            Hit(
                id=number,
                content=content,
                category=Category(category),
                importance=importance,
                similarity=max(-1.0, min(1.0, sum(map(mul, wanted, embedding)))),
            )
            for number, content, category, importance, embedding in memories
        ]
        hits.sort(key=lambda hit: hit.similarity, reverse=True)
        return [hit for hit in hits if hit.similarity >= min_similarity][:limit]


def install(app: App) -> None:
    """Replace the store."""
    app.store = ScanningStore(app.settings.dimensions)
