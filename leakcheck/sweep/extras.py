"""The figures that a command of `fill` or `measure` writes to `{out}`."""

from __future__ import annotations

import json
import math
from pathlib import Path

from leakcheck.errors import UsageError
from leakcheck.model.sweep import Amount
from leakcheck.sweep.quantities import amount

ITEMS = "items"
"""The one name that is no quantity: how many are stored so far."""


def extras(path: Path, doing: str) -> tuple[dict[str, Amount], int | None]:
    """Read `{"quantity": {"value": 1.5, "unit": "ms"}}`; return the quantities, in s and bytes, and `items` if given.

    No file means none. Raises UsageError for anything else in it, so that a typing error is no missing figure.
    Does not see: what the figures mean.
    """
    if not path.is_file():
        return {}, None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"what the command of {doing} wrote to {{out}} is not JSON: {error}") from error
    found: dict[str, Amount] = {}
    for name, given in document.items() if isinstance(document, dict) else [("", document)]:
        value = given.get("value") if isinstance(given, dict) else None
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
            raise UsageError(
                f"what the command of {doing} wrote to {{out}} must be an object such as "
                f'{{"recall": {{"value": 0.9, "unit": "share"}}}}; {name!r} is {given!r}'
            )
        in_unit, unit = amount(value, str(given.get("unit") or ""), f"{{out}} of {doing}, {name!r}")
        found[name] = Amount(value=in_unit, low=in_unit, high=in_unit, unit=unit or "units")
    items = found.pop(ITEMS, None)
    return found, None if items is None else int(items.value)
