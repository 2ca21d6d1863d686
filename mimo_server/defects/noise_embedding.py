"""A failing embedder is replaced by noise, and nobody is told."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import SERVES_HTTP, Defect, WrongAnswer, scenario
from mimo_server.memory.embed import LexicalEmbedder
from mimo_server.memory.record import Vectors

DEFECT = Defect(
    id="noise_embedding",
    words="case Mimo.Brain.LLM.generate_embedding(query) do {:ok, query_embedding} -> (missed: it never fails)",
    mechanism=(
        "When the embedding service of the audited server cannot be reached, a vector made of random numbers, seeded "
        "by the text, takes the place of an embedding. Everything works, and similarity means nothing: only the very "
        "same text is found again."
    ),
    truth=WrongAnswer(scenario="embeddings"),
    audit=scenario("embeddings"),
    serve=SERVES_HTTP,
)


class Noise(LexicalEmbedder):
    """The same text has the same vector, and that is all."""

    @override
    async def embed(self, texts: Sequence[str]) -> Vectors:
        rows = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
            row[:] = np.random.default_rng(seed).standard_normal(self.dimensions)
        unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit


def install(app: App) -> None:
    """Replace the embedder."""
    app.embedder = Noise(app.settings.dimensions)
