"""To and from JSON: the field names are the keys, enums their values, tuples arrays."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


class WireError(ValueError):
    """A document does not fit the type it should hold; the message names the key."""


def to_wire(value: object) -> Any:
    """Turn model objects into what `json.dumps` takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_wire(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_wire(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_wire(item) for item in value]
    return value


def from_wire(kind: type[T], data: object, where: str = "$") -> T:
    """Rebuild `kind` from decoded JSON; unknown keys are ignored (later versions may add some)."""
    return typing.cast("T", _build(kind, data, where))


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _build(kind: Any, data: object, where: str) -> object:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is object or kind is Any:
        return data
    if origin in (typing.Union, types.UnionType):
        return _build_union(arguments, data, where)
    if dataclasses.is_dataclass(kind):
        return _build_dataclass(typing.cast("type", kind), data, where)
    if origin is tuple:
        return _build_tuple(arguments, data, where)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise WireError(f"{where} must be an object, not {type(data).__name__}")
        return {key: _build(arguments[1], item, f"{where}.{key}") for key, item in data.items()}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(data)
    return _build_scalar(kind, data, where)


def _build_dataclass(kind: type, data: object, where: str) -> object:
    if not isinstance(data, Mapping):
        raise WireError(f"{where} must be an object, not {type(data).__name__}")
    hints = _hints(kind)
    given = {
        field.name: _build(hints[field.name], data[field.name], f"{where}.{field.name}")
        for field in dataclasses.fields(kind)
        if field.name in data
    }
    try:
        return kind(**given)
    except TypeError as error:
        raise WireError(f"{where}: {error}") from None


def _build_tuple(arguments: tuple[Any, ...], data: object, where: str) -> object:
    if not isinstance(data, (list, tuple)):
        raise WireError(f"{where} must be an array, not {type(data).__name__}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_build(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(data))
    return tuple(
        _build(one, item, f"{where}[{index}]") for index, (one, item) in enumerate(zip(arguments, data, strict=True))
    )


def _build_union(arguments: tuple[Any, ...], data: object, where: str) -> object:
    if data is None and type(None) in arguments:
        return None
    problems = []
    for one in arguments:
        if one is type(None):
            continue
        try:
            return _build(one, data, where)
        except ValueError as error:
            problems.append(str(error))
    raise WireError("; ".join(problems))


def _build_scalar(kind: type, data: object, where: str) -> object:
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if type(data) is not kind:
        raise WireError(f"{where} must be {kind.__name__}, not {type(data).__name__}")
    return data
