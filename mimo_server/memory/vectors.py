"""Vectors that come from outside, checked at the door."""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mimo_server.errors import InvalidError
from mimo_server.memory.record import Vector, Vectors

_FLOAT32 = 4
"""Bytes."""
_SHOWN = 40
"""Characters of a wrong element that a message repeats."""


def unit(rows: NDArray[Any]) -> Vectors:
    """Each row at length 1. Raises InvalidError for a row of zeros.

    The largest component becomes 1 first: 1e38 squared is no float32 and 1e200 squared no float64, and a length of
    denormals would lose its digits.
    """
    exact = np.asarray(rows, dtype=np.float64)
    largest = np.abs(exact).max(axis=1, keepdims=True)
    if not largest.all():
        raise InvalidError(
            "the vector is all zeros and has no direction to compare; give one with a component that is not 0"
        )
    exact = exact / largest
    exact /= np.sqrt(np.einsum("ij,ij->i", exact, exact))[:, None]
    units: Vectors = exact.astype(np.float32)
    return units


def vector_from(given: object, dimensions: int) -> Vector:
    """The unit vector that a caller means by a list of numbers or by base64 of little-endian float32.

    Raises InvalidError: which element is wrong, and what to give instead.
    """
    if isinstance(given, str):
        numbers = _from_base64(given, dimensions)
    elif isinstance(given, list | tuple | np.ndarray):
        numbers = _from_numbers(given, dimensions)
    else:
        raise InvalidError(f"an embedding cannot be {_shown(given)}; give a list of numbers, or base64 of float32")
    finite = np.isfinite(numbers)
    if not finite.all():
        place = int(np.argmin(finite))
        raise InvalidError(f"element {place} of the embedding is {numbers[place]}; give finite numbers only")
    only: Vector = unit(numbers.reshape(1, -1))[0]
    return only


def _from_base64(text: str, dimensions: int) -> NDArray[np.float64]:
    expected = math.ceil(dimensions * _FLOAT32 / 3) * 4
    if len(text) != expected:
        raise InvalidError(
            f"the embedding is a text of {len(text)} characters; base64 of {dimensions} little-endian float32 has "
            f"{expected}: give that, or a list of {dimensions} numbers"
        )
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidError(f"the embedding is a text and no base64 ({error}); give base64 of float32") from error
    if len(data) != dimensions * _FLOAT32:
        raise InvalidError(f"the embedding has {len(data)} bytes; {dimensions} float32 have {dimensions * _FLOAT32}")
    return np.frombuffer(data, dtype="<f4").astype(np.float64)


def _from_numbers(given: list[object] | tuple[object, ...] | NDArray[Any], dimensions: int) -> NDArray[np.float64]:
    if len(given) != dimensions:
        raise InvalidError(
            f"the embedding has {len(given)} elements and this server's have {dimensions}; "
            "give one of the same model and dimension"
        )
    if isinstance(given, np.ndarray):
        return given.reshape(dimensions).astype(np.float64)
    for place, element in enumerate(given):
        if type(element) is not float and type(element) is not int:  # a bool is an int to isinstance
            raise InvalidError(f"element {place} of the embedding is {_shown(element)}; give a JSON number")
    try:
        return np.array(given, dtype=np.float64)
    except OverflowError as error:
        raise InvalidError("an element of the embedding is above 1e308; scale the vector down") from error


def _shown(value: object) -> str:
    return f"{str(value)[:_SHOWN]!r}, a {type(value).__name__}"
