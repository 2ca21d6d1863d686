"""What an embedding takes in each form, and what is still found: bytes, and recall@10 against float64.

Does not see: what an index adds; the store's own recall and its bytes on the disk stand in the memory benchmark.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent / "memory"))

from sets import Set

COUNT, QUERIES, K = 10_000, 200, 10
KINDS = {
    "json": "JSON text of float64",
    "float64": "float64",
    "float32": "float32",
    "int8": "int8 and a scale, which is what this store keeps",
    "signs": "its signs alone, which are what a search reads first",
}
Rows = NDArray[np.float32]


def measured() -> dict[str, Any]:
    """Bytes of one, and recall, for each form."""
    with tempfile.TemporaryDirectory() as temporary:
        made = Set("hard", COUNT, Path(temporary))
        made.make()
        rows = np.concatenate([np.asarray(one, dtype=np.float32) for one in made.batches(1000)])
        queries = np.asarray(made.queries, dtype=np.float32)[:QUERIES]
    true = _nearest(rows.astype(np.float64), queries)
    found = {
        kind: {"bytes": size(rows), "recall_at_10": _recall(true, back(rows), queries)}
        for kind, (size, back) in _FORMS.items()
    }
    return {"vectors": COUNT, "dimensions": rows.shape[1], "queries": len(queries), "rows": found}


def _json_bytes(rows: Rows) -> float:
    return float(np.mean([len(json.dumps(row)) for row in rows[:200].astype(np.float64).tolist()]))


def _from_json(rows: Rows) -> NDArray[Any]:
    return np.asarray(json.loads(json.dumps(rows.astype(np.float64).tolist())))


def _from_int8(rows: Rows) -> NDArray[Any]:
    scale = np.abs(rows).max(axis=1, keepdims=True) / 127
    return np.round(rows / scale).astype(np.int8).astype(np.float32) * scale


def _from_signs(rows: Rows) -> NDArray[Any]:
    return np.where(rows >= 0, 1.0, -1.0).astype(np.float32)


_FORMS: dict[str, tuple[Callable[[Rows], float], Callable[[Rows], NDArray[Any]]]] = {
    "json": (_json_bytes, _from_json),
    "float64": (lambda rows: 8.0 * rows.shape[1], lambda rows: rows.astype(np.float64)),
    "float32": (lambda rows: 4.0 * rows.shape[1], lambda rows: rows),
    "int8": (lambda rows: rows.shape[1] + 4.0, _from_int8),
    "signs": (lambda rows: rows.shape[1] / 8, _from_signs),
}


def _nearest(rows: NDArray[Any], queries: Rows) -> list[set[int]]:
    likeness = queries.astype(rows.dtype) @ (rows / np.linalg.norm(rows, axis=1, keepdims=True)).T
    return [set(one.tolist()) for one in np.argpartition(-likeness, K, axis=1)[:, :K]]


def _recall(true: list[set[int]], rows: NDArray[Any], queries: Rows) -> float:
    found = _nearest(rows, queries)
    return round(sum(len(one & other) for one, other in zip(true, found, strict=True)) / (K * len(true)), 4)
