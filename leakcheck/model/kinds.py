"""Kinds of operations by name: `call:<tool>`, `session`, `reject`…, each perhaps in one protocol era (`reject@…`)."""

from __future__ import annotations

import re

ALL = "*"
"""Stands for all operations together; never shown."""
_ERA = re.compile(r"@\d{4}-\d\d-\d\d\Z")


def without_era(kind: str) -> str:
    """Return a kind without the protocol version that it is played in: `reject@2025-11-25` → `reject`."""
    return _ERA.sub("", kind)


def way_of(kind: str) -> str:
    """Return what all kinds of one sort have in common: `call:echo@2025-11-25` → `call`."""
    return without_era(kind).partition(":")[0]


def is_part_of(kind: str, cause: str | None) -> bool:
    """Whether operations of this kind are what a cause names: the kind itself, it in any era, its sort, or all."""
    return cause in {kind, without_era(kind), way_of(kind), ALL}
