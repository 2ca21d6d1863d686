"""lancedb: a table of float32 vectors, flat (no index is made before it is asked for)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa

from engines import Rows, importance


class Engine:
    """As its documentation begins."""

    is_kept = True
    filters = True

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.schema = pa.schema(
            [
                pa.field("number", pa.int64()),
                pa.field("importance", pa.float64()),
                pa.field("vector", pa.list_(pa.float32(), dimensions)),
            ]
        )
        self.dimensions = dimensions
        database = lancedb.connect(str(folder / "lance"))
        self.table = database.create_table("memories", schema=self.schema, exist_ok=True)

    def add(self, first: int, rows: Rows) -> None:
        """As one batch."""
        numbers = np.arange(first, first + len(rows))
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), self.dimensions)
        columns = [pa.array(numbers), pa.array(importance(numbers)), vectors]
        self.table.add(pa.Table.from_arrays(columns, schema=self.schema))

    def search(self, query: Rows, k: int) -> Sequence[int]:
        """One query."""
        found = self.table.search(query).distance_type("cosine").select(["number", "_distance"]).limit(k).to_arrow()
        return found["number"].to_pylist()

    def search_among(self, query: Rows, k: int, least: float) -> Sequence[int]:
        """By its where, before the search."""
        asked = self.table.search(query).distance_type("cosine").where(f"importance >= {least}", prefilter=True)
        return asked.select(["number", "_distance"]).limit(k).to_arrow()["number"].to_pylist()

    def remove(self, numbers: Sequence[int]) -> None:
        """By their numbers."""
        self.table.delete(f"number IN ({', '.join(map(str, numbers))})")

    def close(self) -> None:
        """It has no end of its own."""
