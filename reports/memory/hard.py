"""Whether the set that is called hard is: an index that clusters must not find its way in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from measuring import recall
from one import SHARES, K
from sets import Set

COUNT = 300_000
LISTS = 1024
PROBES = 16
MOST_RECALL = 0.70
"""At 10, of IndexIVFFlat with so many lists and probes, trained on the set itself."""
_TRAINED_ON = 100_000
"""Rows: about a hundred for each list, the most that faiss itself looks at being 256."""


def assert_hard(folder: Path, vectors: Set) -> None:
    """Write `hard.json` to the folder, unless it is there. Raises ValueError where the set is easy after all."""
    path = folder / "hard.json"
    if not path.exists():
        path.write_text(json.dumps(measured(vectors), indent=2) + "\n", encoding="utf-8")
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["recall_at_10"] > MOST_RECALL:
        raise ValueError(
            f"the set {vectors.kind} is not hard: IVF{LISTS} at nprobe {PROBES} finds {found['recall_at_10']} of the "
            f"true ten at {found['count']:,}, and may find {MOST_RECALL}; make its topics wider in vectors.py"
        )


def measured(vectors: Set) -> dict[str, Any]:
    """Recall of the clustering index on the set. Takes some minutes, on all cores."""
    vectors.make()
    vectors.find(vectors.count, K, SHARES)
    quantizer = faiss.IndexFlatIP(vectors.dimensions)
    index = faiss.IndexIVFFlat(quantizer, vectors.dimensions, LISTS, faiss.METRIC_INNER_PRODUCT)
    first: list[Any] = []
    for rows in vectors.batches(10_000):
        first.append(rows)
        if sum(map(len, first)) >= min(_TRAINED_ON, vectors.count):
            break
    index.train(np.concatenate(first))
    del first
    for rows in vectors.batches(10_000):
        index.add(rows)
    index.nprobe = PROBES
    _, found = index.search(vectors.queries, K)
    return {
        "kind": vectors.kind,
        "count": vectors.count,
        "index": f"IVF{LISTS},Flat",
        "nprobe": PROBES,
        "recall_at_10": round(recall(found.tolist(), vectors.true(vectors.count)), 4),
    }
