"""Each order has a timer that reminds of it later, and ends then."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "node"
RESOURCE = "handles"
KIND = "ttl"
REQUESTS = ("GET /order?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one order in 1 to 50 has a reminder, after 0.2 to 8 s."""
    return {
        **hosts.ordinary(random),
        "share": hosts.log_uniform(random, 0.02, 1),
        "seconds": hosts.log_uniform(random, 0.2, 8),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""
