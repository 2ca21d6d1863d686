"""How an embedding stands in its column."""

from __future__ import annotations

import struct
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mimo_server.memory.record import Vector

_SCALE = struct.Struct("<f")


class Codec(Protocol):
    """Vector to column and back."""

    name: str
    """Written into the data folder: another codec's folder is refused, not misread."""

    def encode(self, vector: Vector) -> bytes | str:
        """One vector as a column's value."""

    def decode(self, stored: bytes | str) -> Vector:
        """The vector again, as near as the codec keeps it; its length may be a little off 1."""


class Int8Codec:
    """One byte a dimension and one scale: 4 + d bytes, a 16th of float64 text's size or less.

    The largest component becomes ±127, so the error of each is at most half a step, 1/254 of that component.
    """

    name = "int8"

    def encode(self, vector: Vector) -> bytes:
        """`<f` scale, then the rounded components."""
        scale = float(np.abs(vector).max()) / 127 or 1.0
        steps: NDArray[np.int8] = np.rint(vector / scale).astype(np.int8)
        return _SCALE.pack(scale) + steps.tobytes()

    def decode(self, stored: bytes | str) -> Vector:
        """Scale times components."""
        if isinstance(stored, str):
            raise TypeError(
                "an int8 embedding is a blob, and this is text; the data folder was written by another codec"
            )
        (scale,) = _SCALE.unpack_from(stored)
        return np.frombuffer(stored, dtype=np.int8, offset=_SCALE.size).astype(np.float32) * np.float32(scale)
