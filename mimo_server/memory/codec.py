"""How an embedding stands in its column."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mimo_server.memory.record import Vector, Vectors

_SCALE = struct.Struct("<f")


Steps = NDArray[np.int8]
"""One vector a row, its largest component at ±127. Its scale is gone: an angle does not need it."""


class Codec(Protocol):
    """Vector to column and back."""

    name: str
    """Written into the data folder: another codec's folder is refused, not misread."""

    def encode(self, vectors: Vectors) -> Sequence[bytes | str]:
        """Each row as a column's value."""

    def decode(self, stored: bytes | str) -> Vector:
        """The vector again, as near as the codec keeps it; its length may be a little off 1."""

    def steps(self, stored: Sequence[bytes | str]) -> Steps:
        """Of one or more vectors what an index compares: a row each."""


def quantized(vectors: Vectors) -> Steps:
    """Each row with its largest component at ±127, rounded: the error of each is at most half a step."""
    steps: Steps = np.rint(vectors * (127 / np.abs(vectors).max(axis=1, keepdims=True))).astype(np.int8)
    return steps


class Int8Codec:
    """One byte a dimension and one scale: 4 + d bytes, a 16th of float64 text's size or less."""

    name = "int8"

    def encode(self, vectors: Vectors) -> list[bytes]:
        """`<f` scale, then the rounded components."""
        scales = (np.abs(vectors).max(axis=1) / 127).astype("<f4")
        return [scale.tobytes() + steps.tobytes() for scale, steps in zip(scales, quantized(vectors), strict=True)]

    def decode(self, stored: bytes | str) -> Vector:
        """Scale times components."""
        (scale,) = _SCALE.unpack_from(_bytes(stored))
        vector: Vector = self.steps([stored])[0].astype(np.float32) * np.float32(scale)
        return vector

    def steps(self, stored: Sequence[bytes | str]) -> Steps:
        """The components as they stand there."""
        joined = np.frombuffer(b"".join(map(_bytes, stored)), dtype=np.int8)
        return joined.reshape(len(stored), -1)[:, _SCALE.size :]


def _bytes(stored: bytes | str) -> bytes:
    if isinstance(stored, str):
        raise TypeError("an int8 embedding is a blob, and this is text; the data folder was written by another codec")
    return stored
