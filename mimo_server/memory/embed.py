"""Text to vector, offline and the same on every machine: shared words and word parts make texts alike."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

_WORD = re.compile(r"\w+")
_WORD_WEIGHT = 3.0
"""A whole word says more than one of its three-letter parts; a five-letter word has five of those."""


class LexicalEmbedder:
    """Counts hashed words and letter triples, then rotates the counts.

    The rotation (signs, then a real Fourier transform scaled to be orthogonal) leaves every cosine as it was and
    spreads the few non-zero counts over all dimensions, so that a vector costs as much to store as a learned one.

    Does not see: meaning. "car" and "automobile" are strangers to it.
    """

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        # Any fixed signs will do; PCG64's raw stream is the part of numpy.random that is promised not to change.
        bits = np.random.PCG64(dimensions).random_raw(dimensions) & 1
        self._signs = np.where(np.asarray(bits, dtype=np.uint64) == 1, 1.0, -1.0)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One unit vector per text, as rows of a float32 array."""
        counts = np.zeros((len(texts), self._dimensions))
        for row, text in zip(counts, texts, strict=True):
            for feature, weight in _features(text):
                code = zlib.crc32(feature.encode("utf-8", "surrogatepass"))
                row[code % self._dimensions] += weight if code & 0x8000_0000 else -weight
        turned = self._rotate(counts)
        lengths = np.linalg.norm(turned, axis=1, keepdims=True)
        lengths[lengths == 0] = 1.0  # counts that cancel out exactly: a zero vector, like nothing
        unit: Vectors = (turned / lengths).astype(np.float32)
        return unit

    def _rotate(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        spectrum = np.fft.rfft(counts * self._signs, norm="ortho")
        inner = slice(1, (self._dimensions + 1) // 2)  # all but the constant and, for even lengths, the last term
        spectrum[:, inner] *= np.sqrt(2.0)  # each stands for itself and its mirror image
        return np.concatenate([spectrum.real, spectrum.imag[:, inner]], axis=1)


def _features(text: str) -> Iterator[tuple[str, float]]:
    words = _WORD.findall(text.lower())
    if not words:
        yield text, 1.0
    for word in words:
        yield word, _WORD_WEIGHT
        edged = f"^{word}$"
        for start in range(len(edged) - 2):
            yield edged[start : start + 3], 1.0
