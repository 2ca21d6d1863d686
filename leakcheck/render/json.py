"""The Audit itself as JSON: what `leakcheck report`, comparisons and gates read again."""

from __future__ import annotations

import json

from leakcheck.model.audit import Audit
from leakcheck.model.wire import to_wire

FILE = "audit.json"

_EXACT = 2.0**53
"""Whole numbers below this are the same as float and as integer."""


def render(audit: Audit) -> bytes:
    """Give the document that `leakcheck/schema/audit.schema.json` describes, keys in the order of the dataclasses.

    ASCII only, so that no character of the target's has a meaning to whoever prints it. Raises ValueError for a
    number that JSON can't hold (NaN, infinity): such a value is a fault of ours and must not reach a file.
    """
    return (json.dumps(_whole(to_wire(audit)), indent=1, allow_nan=False) + "\n").encode("ascii")


def _whole(value: object) -> object:
    """Write whole numbers without `.0`: else an audit read back, its counts now floats, would give other bytes."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value
