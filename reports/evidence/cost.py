"""What it costs to look, from outside and from inside: the items of `looking.py` and `inside.py` in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import inside
import looking

ITEMS: dict[str, Callable[[Path], dict[str, Any]]] = {**looking.ITEMS, **inside.ITEMS}


def figures(folder: Path) -> dict[str, Any]:
    """Return what each item measured, without where and how."""
    found = {}
    for name in ITEMS:
        path = folder / f"{name}.json"
        if path.exists():
            document = json.loads(path.read_text())
            found[name] = {key: value for key, value in document.items() if key not in {"commit", "at", "machine"}}
    return found
