"""qdrant-client in local mode, on a path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, FieldCondition, Filter, PointIdsList, PointStruct, Range, VectorParams

from engines import Rows, importance

_NAME = "memories"


class Engine:
    """As its documentation begins."""

    is_kept = True
    filters = True

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.client = QdrantClient(path=str(folder / "qdrant"))
        if not self.client.collection_exists(_NAME):
            self.client.create_collection(_NAME, VectorParams(size=dimensions, distance=Distance.COSINE))

    def add(self, first: int, rows: Rows) -> None:
        """As points."""
        numbers = np.arange(first, first + len(rows))
        points = [
            PointStruct(id=number, vector=row.tolist(), payload={"importance": float(worth)})
            for number, row, worth in zip(numbers.tolist(), rows, importance(numbers), strict=True)
        ]
        self.client.upsert(_NAME, points)

    def _found(self, query: Rows, k: int, among: Filter | None) -> list[int]:
        answer = self.client.query_points(_NAME, query=query.tolist(), limit=k, query_filter=among)
        return [int(point.id) for point in answer.points]

    def search(self, query: Rows, k: int) -> Sequence[int]:
        """One query."""
        return self._found(query, k, None)

    def search_among(self, query: Rows, k: int, least: float) -> Sequence[int]:
        """By a range of the payload."""
        return self._found(query, k, Filter(must=[FieldCondition(key="importance", range=Range(gte=least))]))

    def remove(self, numbers: Sequence[int]) -> None:
        """By ids."""
        self.client.delete(_NAME, points_selector=PointIdsList(points=list(numbers)))

    def close(self) -> None:
        """Close the file."""
        self.client.close()
