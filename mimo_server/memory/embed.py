"""Text to vector; by default offline and the same on every machine: shared words and word parts make texts alike."""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy import fft  # numpy loads it with its first use, when there may be no descriptor left
from numpy.typing import NDArray

from mimo_server.memory.record import Vectors
from mimo_server.memory.vectors import unit
from mimo_server.supervision.ending import finished
from mimo_server.supervision.registry import Bound

_WORD = re.compile(r"\w+")
_WORD_WEIGHT = 3.0
"""A whole word says more than one of its three-letter parts; a five-letter word has five of those."""
_AT_ONCE = 1000
"""Characters embedded on the event loop: about a millisecond. More goes to a thread."""


class Embedder(Protocol):
    """An async context manager that turns texts into vectors."""

    name: str
    """Written into the data folder: vectors of two embedders cannot be compared."""
    dimensions: int

    async def __aenter__(self) -> Self:
        """Start."""

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per text, as rows. Raises EmbeddingError when there is one text that it cannot do."""

    def bounds(self) -> tuple[Bound, ...]:
        """Its limits."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End."""


class LexicalEmbedder:
    """Counts hashed words and letter triples, then rotates the counts.

    The rotation (signs, then a real Fourier transform scaled to be orthogonal) leaves every cosine as it was and
    spreads the few non-zero counts over all dimensions, so that a vector costs as much to store as a learned one.

    Does not see: meaning. "car" and "automobile" are strangers to it.
    """

    name = "lexical"

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        # Any fixed signs will do; PCG64's raw stream is the part of numpy.random that is promised not to change.
        bits = np.random.PCG64(dimensions).random_raw(dimensions) & 1
        self._signs = np.where(np.asarray(bits, dtype=np.uint64) == 1, 1.0, -1.0)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mimo-embed")

    async def __aenter__(self) -> Self:
        """Nothing: the thread starts with the first large text."""
        return self

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Many or long texts are done on a thread."""
        if sum(map(len, texts)) <= _AT_ONCE:
            return self.embedded(texts)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.embedded, texts)

    def embedded(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per text, as rows of a float32 array."""
        counts = np.zeros((len(texts), self.dimensions))
        for row, text in zip(counts, texts, strict=True):
            for feature, weight in _features(text):
                code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
                row[code % self.dimensions] += weight if code & 0x8000_0000 else -weight
            if not row.any():
                row[0] = 1.0  # counts that cancel out exactly: a direction is needed, and any will do
        return unit(self._rotate(counts)) if len(texts) else counts.astype(np.float32)

    def _rotate(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        spectrum = fft.rfft(counts * self._signs, norm="ortho")
        inner = slice(1, (self.dimensions + 1) // 2)  # all but the constant and, for even lengths, the last term
        spectrum[:, inner] *= np.sqrt(2.0)  # each stands for itself and its mirror image
        return np.concatenate([spectrum.real, spectrum.imag[:, inner]], axis=1)

    def bounds(self) -> tuple[Bound, ...]:
        """None: one thread, and the calls in flight are bounded."""
        return ()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread."""
        await finished(asyncio.get_running_loop().run_in_executor(None, self._thread.shutdown))


def _features(text: str) -> Iterator[tuple[str, float]]:
    words = _WORD.findall(text.lower())
    if not words:
        yield text, 1.0
    for word in words:
        yield word, _WORD_WEIGHT
        edged = f"^{word}$"
        for start in range(len(edged) - 2):
            yield edged[start : start + 3], 1.0
