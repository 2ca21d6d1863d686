"""The last events are kept in an array that is shifted when it is longer than its limit."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "node"
RESOURCE = "registry"
KIND = "ring"
REQUESTS = ("GET /event?n={n}", "GET /recent?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: full after 100 to 40,000 events, 1 to 3 an operation."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 100, 40_000)),
        "entries": random.uniform(1, 3),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""
