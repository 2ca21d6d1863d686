"""Vectors as signs: the more bits two codes share, the smaller the angle between their vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import fft
from numpy.typing import NDArray

from mimo_server.memory.record import Vectors

Codes = NDArray[np.uint8]
"""One code a row, eight bits a byte."""

BITS = 1536
"""Of a whole code."""
HEAD = 512
"""Of its beginning, which alone is scanned."""


class SignCoder:
    """The signs of random rotations of a vector.

    Two vectors at angle θ differ in a bit with probability θ/π (Goemans and Williamson 1995; Charikar 2002), whatever
    they look like: nothing is trained, and clusters neither help nor harm. A rotation is two rounds of random signs and
    a real Fourier transform, scaled to be orthogonal: d log d operations and no matrix. Vectors shorter than 1536 are
    rotated in several ways, one after the other, and of longer ones 1536 components are taken.

    Does not see: components far below the largest of a vector of few non-zero ones; two rounds mix them well enough.
    """

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        ways = -(-BITS // dimensions)
        # PCG64's raw stream is the part of numpy.random that is promised not to change; a code outlives a version.
        words = np.random.PCG64([dimensions, BITS]).random_raw(2 * ways * dimensions)
        signs = np.where(np.asarray(words, dtype=np.uint64) >> np.uint64(63) == 1, 1.0, -1.0)
        self._signs = signs.astype(np.float32).reshape(ways, 2, dimensions)

    def codes(self, vectors: Vectors) -> Codes:
        """A code of BITS / 8 bytes for each row."""
        parts = [self._rotated(vectors, signs) for signs in self._signs]
        bits = (parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1))[:, :BITS] > 0
        packed: Codes = np.packbits(bits, axis=1)
        return packed

    def _rotated(self, vectors: Vectors, signs: NDArray[np.float32]) -> NDArray[np.float32]:
        for one in signs:
            vectors = _transformed(vectors * one)
        return vectors


def _transformed(rows: NDArray[Any]) -> NDArray[np.float32]:
    """The real Fourier transform, orthogonal but for the scale: each inner term stands for two."""
    length = rows.shape[1]
    spectrum = fft.rfft(rows, norm="ortho")
    inner = slice(1, (length + 1) // 2)
    spectrum[:, inner] *= np.float32(np.sqrt(2.0))
    return np.concatenate([spectrum.real, spectrum.imag[:, inner]], axis=1)
