"""Embeddings as JSON text. Not a leak."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from mimo_server.app import App
from mimo_server.defects import OVER_STDIO, SERVES_STDIO, Defect, LookAlike
from mimo_server.memory.codec import Steps, quantized
from mimo_server.memory.record import Vector, Vectors

DEFECT = Defect(
    id="json_text",
    words="Embeddings stored as JSON strings; no binary memory optimization; each embedding = ~12KB as JSON text",
    mechanism=(
        "An embedding is stored as a JSON array of float64 in text, about 20 bytes a dimension (30 KiB with 1536, not "
        "12) against 1 for int8. The store grows with what is stored, and gives it back when that is forgotten."
    ),
    truth=LookAlike(
        shapes={"metric.mimo_memories": ("stored",), "metric.mimo_store_bytes": ("stored",)},
        operation="call:memory_store",
    ),
    audit=(
        *OVER_STDIO,
        *("--rounds", "27", "--tool", "memory_store", "--undo", 'memory_forget={"category": "fact"}'),
    ),
    serve=(*SERVES_STDIO, "--dimensions", "1536"),
)


class JsonText:
    """A JSON array in text."""

    name = "json"

    def encode(self, vectors: Vectors) -> list[str]:
        """As many digits as a float64 has."""
        exact = vectors.astype(np.float64)
        exact /= np.linalg.norm(exact, axis=1, keepdims=True)
        return [json.dumps(one) for one in exact.tolist()]

    def decode(self, stored: bytes | str) -> Vector:
        """All of them parsed again."""
        return np.array(json.loads(stored), dtype=np.float32)

    def steps(self, stored: Sequence[bytes | str]) -> Steps:
        """…and rounded, as the index compares them."""
        return quantized(np.stack([self.decode(one) for one in stored]))


def install(app: App) -> None:
    """Replace how an embedding stands in its column."""
    app.store.codec = JsonText()
