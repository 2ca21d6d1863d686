"""Whether the made vectors are kind: the same sieves over real embeddings of real sentences, and over made ones.

    python -P reports/memory real FOLDER

Ten thousand paragraphs of this Python's own documentation strings, embedded by MiniLM; as many made vectors of both
kinds, of the same 384 dimensions. For each, how many of the true ten are among the nearest by the signs that a search
scans first, so many being kept, and how many IVF100 finds: what is harder for both is not kind. Writes
`FOLDER/real.json`. The embedding takes some minutes.
"""

from __future__ import annotations

import ast
import json
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from engines import Rows
from engines.mimo import Engine
from measuring import recall
from minilm import MiniLM
from vectors import KINDS, Vectors

from mimo_server.memory.signs import HEAD, SignCoder

COUNT, QUERIES, K = 10_000, 500, 10
KEPT = (50, 100, 200, 400)
"""Of ten thousand: what is kept by the first sieve of a search is 2,000 of any number."""
_WORDS = range(6, 80)


def paragraphs(folder: Path) -> Iterator[str]:
    """Each paragraph of prose once, in the order of the files' names."""
    met = set()
    for path in sorted(folder.rglob("*.py")):
        if {"site-packages", "test", "tests", "idlelib"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):  # files that are there to be refused
            continue
        for node in ast.walk(tree):
            for text in _texts(node):
                words = text.split()
                if len(words) in _WORDS and ">>>" not in text and " ".join(words) not in met:
                    met.add(" ".join(words))
                    yield " ".join(words)


def _texts(node: ast.AST) -> Iterator[str]:
    """Documentation, and long strings of data such as pydoc's topics."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 60:
        yield from node.value.split("\n\n")


def judged(rows: Rows, queries: Rows) -> dict[str, Any]:
    """What the sieves and a clustering index keep of the true ten."""
    likeness = queries @ rows.T
    true = np.argsort(-likeness, axis=1, kind="stable")[:, :K].tolist()
    coder = SignCoder(rows.shape[1])
    heads, asked = coder.codes(rows)[:, : HEAD // 8], coder.codes(queries)[:, : HEAD // 8]
    _, near = faiss.knn_hamming(np.ascontiguousarray(asked), np.ascontiguousarray(heads), max(KEPT), variant="mc")
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Path(folder), rows.shape[1])
        engine.add(0, rows)
        found = [engine.search(query, K) for query in queries]
        engine.close()
    random = np.random.default_rng(1).permutation(rows.shape[0])[:1000]
    return {
        "recall_at_10": round(recall(found, true), 4),
        "among_the_nearest_by_signs": {str(kept): round(recall(near[:, :kept].tolist(), true), 4) for kept in KEPT},
        "ivf100_recall_at_10": {str(probes): _clustered(rows, queries, true, probes) for probes in (3, 10)},
        "cosine_of_the_tenth": _deciles(np.sort(likeness, axis=1)[:, -K]),
        "cosine_of_any": _deciles((queries[:100] @ rows[random].T).ravel()),
    }


def _clustered(rows: Rows, queries: Rows, true: Sequence[Sequence[int]], probes: int) -> float:
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], 100, faiss.METRIC_INNER_PRODUCT)
    index.train(rows)
    index.add(rows)
    index.nprobe = probes
    return round(recall(index.search(queries, K)[1].tolist(), true), 4)


def _deciles(values: Rows) -> list[float]:
    return [round(float(one), 3) for one in np.quantile(values, (0.1, 0.5, 0.9))]


def compare(folder: Path) -> None:
    """Write `real.json` to the folder."""
    path = folder / "real.json"
    source = paragraphs(Path(sysconfig.get_path("stdlib")))
    texts = [text for text, _ in zip(source, range(COUNT + QUERIES), strict=False)]
    if len(texts) < COUNT + QUERIES:
        raise SystemExit(
            f"this Python's library has only {len(texts):,} paragraphs, and {COUNT + QUERIES:,} are needed"
        )
    order = np.random.default_rng(7).permutation(len(texts))
    real = MiniLM().embedded([texts[place] for place in order])
    dimensions = real.shape[1]
    document: dict[str, Any] = {
        "command": "python -P reports/memory real FOLDER",
        "count": COUNT,
        "dimensions": dimensions,
        "python": sys.version.split()[0],
        "real": judged(real[:COUNT], real[COUNT:]),
    }
    for name, kind in KINDS.items():
        made = Vectors(kind, COUNT, dimensions)
        document[name] = judged(np.concatenate(list(made.blocks())), made.queries(QUERIES))
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=2))
