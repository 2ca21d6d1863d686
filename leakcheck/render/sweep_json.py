"""A sweep as JSON: what `leakcheck/schema/sweep.schema.json` describes."""

from __future__ import annotations

import json

from leakcheck.model.sweep import Sweep
from leakcheck.model.wire import to_wire

PLUGIN = False
FILE = "sweep.json"


def render(sweep: Sweep) -> bytes:
    """Give the document, keys in the order of the dataclasses. Raises ValueError for NaN: a fault of ours."""
    return (json.dumps(to_wire(sweep), indent=1, allow_nan=False) + "\n").encode("ascii")
