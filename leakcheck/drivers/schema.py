"""Whether a JSON value fits a JSON Schema: the part of the standard that tool schemas use.

`format` is not checked (the standard makes it a note) and neither are `$dynamicRef`, `unevaluated…` and references
outside the document: a value is taken to fit them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from urllib.parse import unquote

Schema = Mapping[str, object]
_DEPTH = 40


def mapping(value: object) -> Schema:
    """Return `value` if it is a JSON object, else an empty one: schemas come from the target."""
    return value if isinstance(value, dict) else {}


def resolved(reference: object, root: object) -> object | None:
    """Return what `#/…` points to inside `root`; None if that is nowhere."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found = root
    for part in reference[1:].split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found if reference == "#" or reference.startswith("#/") else None


def canonical(value: object) -> str:
    """Return a text that two values share exactly when JSON Schema calls them equal: 1 is 1.0 and not true."""
    return json.dumps(_whole(value), sort_keys=True)


def _whole(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_IS: Mapping[str, Callable[[object], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or float(str(value)).is_integer()),
    "number": _is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def types_of(schema: Schema) -> tuple[str, ...]:
    """Return the types that a schema names, `nullable` included; () when any is allowed."""
    named = schema.get("type")
    listed: list[object] = named if isinstance(named, list) else [named]
    names = tuple(name for name in listed if isinstance(name, str) and name in _IS)
    return (*names, "null") if names and schema.get("nullable") is True and "null" not in names else names


def bounds(schema: Schema) -> tuple[float | None, bool, float | None, bool]:
    """Return lower bound, whether it is excluded, upper bound, likewise; draft 4's boolean forms too."""
    low, without_low = _bound(schema.get("minimum"), schema.get("exclusiveMinimum"), max)
    high, without_high = _bound(schema.get("maximum"), schema.get("exclusiveMaximum"), min)
    return low, without_low, high, without_high


def _bound(closed: object, opened: object, tighter: Callable[[float, float], float]) -> tuple[float | None, bool]:
    inside = closed if isinstance(closed, (int, float)) and not isinstance(closed, bool) else None
    if opened is True:
        return inside, True
    outside = opened if isinstance(opened, (int, float)) and not isinstance(opened, bool) else None
    if inside is None or outside is None:
        return (outside, True) if outside is not None else (inside, False)
    return (outside, True) if tighter(inside, outside) == outside else (inside, False)


def fits(value: object, schema: object, root: object, depth: int = 0) -> bool:
    """Say whether `value` fits `schema`, which stands in `root`. False too when it nests over 40 deep."""
    if isinstance(schema, bool):
        return schema
    rules = mapping(schema)
    if depth > _DEPTH or not _fits_named(value, rules) or not _fits_applied(value, rules, root, depth + 1):
        return False
    if isinstance(value, dict):
        return _fits_object(value, rules, root, depth + 1)
    if isinstance(value, list):
        return _fits_array(value, rules, root, depth + 1)
    if isinstance(value, str):
        return _fits_string(value, rules)
    return _fits_number(value, rules) if isinstance(value, (int, float)) and not isinstance(value, bool) else True


def _fits_named(value: object, rules: Schema) -> bool:
    """Check type, const and enum."""
    if types_of(rules) and not any(_IS[name](value) for name in types_of(rules)):
        return False
    if "const" in rules and canonical(value) != canonical(rules["const"]):
        return False
    listed = rules.get("enum")
    return not isinstance(listed, list) or canonical(value) in map(canonical, listed)


def _fits_applied(value: object, rules: Schema, root: object, depth: int) -> bool:
    def good(schema: object) -> bool:
        return fits(value, schema, root, depth)

    pointed = resolved(rules["$ref"], root) if "$ref" in rules else None
    if pointed is not None and not good(pointed):
        return False
    all_of, any_of, one_of = (rules.get(name) for name in ("allOf", "anyOf", "oneOf"))
    if isinstance(all_of, list) and not all(map(good, all_of)):
        return False
    if isinstance(any_of, list) and not any(map(good, any_of)):
        return False
    if isinstance(one_of, list) and sum(map(good, one_of)) != 1:
        return False
    if "not" in rules and good(rules["not"]):
        return False
    return "if" not in rules or good(rules.get("then" if good(rules["if"]) else "else", True))


def _fits_string(value: str, rules: Schema) -> bool:
    shortest, longest, pattern = rules.get("minLength"), rules.get("maxLength"), rules.get("pattern")
    if isinstance(shortest, (int, float)) and len(value) < shortest:
        return False
    if isinstance(longest, (int, float)) and len(value) > longest:
        return False
    return not isinstance(pattern, str) or matches(pattern, value)


def matches(pattern: str, value: str) -> bool:
    """Say whether a pattern is found in `value`; a pattern that Python cannot read is found nowhere."""
    try:
        return re.search(pattern, value) is not None
    except (re.error, OverflowError, RecursionError):
        return False


def _fits_number(value: float, rules: Schema) -> bool:
    low, without_low, high, without_high = bounds(rules)
    if low is not None and (value < low or (without_low and value == low)):
        return False
    if high is not None and (value > high or (without_high and value == high)):
        return False
    step = rules.get("multipleOf")
    if not isinstance(step, (int, float)) or isinstance(step, bool) or step <= 0:
        return True
    return (Fraction(str(value)) / Fraction(str(step))).denominator == 1


def _fits_array(value: list[object], rules: Schema, root: object, depth: int) -> bool:
    fewest, most, unique = rules.get("minItems"), rules.get("maxItems"), rules.get("uniqueItems")
    if isinstance(fewest, (int, float)) and len(value) < fewest:
        return False
    if isinstance(most, (int, float)) and len(value) > most:
        return False
    if unique is True and len(set(map(canonical, value))) != len(value):
        return False
    if "contains" in rules and not any(fits(item, rules["contains"], root, depth) for item in value):
        return False
    first, rest = item_schemas(rules)
    return all(fits(item, first[at] if at < len(first) else rest, root, depth) for at, item in enumerate(value))


def item_schemas(rules: Schema) -> tuple[list[object], object]:
    """Return the schemas of the first items and the one of all others; draft 7's list form too."""
    prefix, items = rules.get("prefixItems"), rules.get("items", True)
    if isinstance(items, list):
        return items, rules.get("additionalItems", True)
    return (prefix if isinstance(prefix, list) else []), items


def _fits_object(value: dict[str, object], rules: Schema, root: object, depth: int) -> bool:
    required, fewest, most = rules.get("required"), rules.get("minProperties"), rules.get("maxProperties")
    if isinstance(required, list) and any(name not in value for name in required):
        return False
    if isinstance(fewest, (int, float)) and len(value) < fewest:
        return False
    if isinstance(most, (int, float)) and len(value) > most:
        return False
    for name, needed in mapping(rules.get("dependentRequired")).items():
        if name in value and isinstance(needed, list) and any(other not in value for other in needed):
            return False
    if "propertyNames" in rules and not all(fits(name, rules["propertyNames"], root, depth) for name in value):
        return False
    return all(
        all(fits(item, schema, root, depth) for schema in property_schemas(name, rules)) for name, item in value.items()
    )


def property_schemas(name: str, rules: Schema) -> list[object]:
    """Return every schema that the property of this name must fit."""
    own = mapping(rules.get("properties"))
    found = [own[name]] if name in own else []
    found += [schema for pattern, schema in mapping(rules.get("patternProperties")).items() if matches(pattern, name)]
    return found or [rules.get("additionalProperties", True)]
