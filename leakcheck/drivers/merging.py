"""Two JSON Schemas in one: what holds where both hold, as far as it has a plain form."""

from __future__ import annotations

from leakcheck.drivers.schema import Schema, canonical, mapping, types_of

_LOWER = {"minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"}
_UPPER = {"maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"}
_TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")


def merged(left: Schema | bool, right: object) -> Schema | bool:
    """Return the rules of both. Where two have no plain merged form the left one wins.

    Does not see: what was lost then; check a value that is made from it against the schemas it came from.
    """
    if left is False or right is False:
        return False
    result = dict(mapping(left))
    for key, value in mapping(right).items():
        result[key] = _both(key, result[key], value) if key in result else value
    return result


def _both(key: str, left: object, right: object) -> object:
    if isinstance(left, list) and isinstance(right, list):
        if key == "required":
            return [*left, *(name for name in right if name not in left)]
        if key == "enum":
            allowed = set(map(canonical, right))
            return [item for item in left if canonical(item) in allowed]
    if key == "type":
        return [name for name in _TYPES if _allows(left, name) and _allows(right, name)] or left
    if key == "properties":
        return _both_properties(mapping(left), mapping(right))
    if isinstance(left, (int, float)) and isinstance(right, (int, float)) and key in _LOWER | _UPPER:
        return max(left, right) if key in _LOWER else min(left, right)
    return left


def _allows(named: object, name: str) -> bool:
    types = types_of({"type": named})
    return name in types or (name == "integer" and "number" in types)


def _both_properties(left: Schema, right: Schema) -> Schema:
    both = {name: {"allOf": [left[name], right[name]]} for name in left.keys() & right.keys()}
    return {**left, **right, **both}
