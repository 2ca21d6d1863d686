"""The smallest arguments that a tool's schema plainly allows. Pure.

Does not see: what a tool makes of them; anything but required strings, numbers, booleans and enums.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LONGEST = 1000
"""Characters: whoever asks for more is not plain."""


def smallest(schema: Any) -> dict[str, Any] | None:
    """Return arguments with what is required and no more; None where that takes a guess."""
    if not isinstance(schema, Mapping):
        return {}
    properties = schema.get("properties")
    required = schema.get("required")
    arguments = {}
    for name in required if isinstance(required, list) else ():
        inner = properties.get(name) if isinstance(properties, Mapping) else None
        value = _value(inner) if isinstance(inner, Mapping) else None
        if value is None:
            return None
        arguments[name] = value
    return arguments


def _value(schema: Mapping[str, Any]) -> Any:
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    if "default" in schema:
        return schema["default"]
    kind = schema.get("type")
    if kind == "boolean":
        return False
    if kind == "string" and not schema.keys() & {"pattern", "format"}:
        shortest = schema.get("minLength", 1)
        return "a" * max(1, shortest) if isinstance(shortest, int) and shortest <= _LONGEST else None
    if kind in {"integer", "number"} and not schema.keys() & {"multipleOf", "exclusiveMinimum", "exclusiveMaximum"}:
        return schema.get("minimum", min(1, schema.get("maximum", 1)))
    return None
