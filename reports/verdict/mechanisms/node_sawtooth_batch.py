"""Records gather in an array, which is packed and emptied when a number of them is there."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "node"
RESOURCE = "heap"
KIND = "sawtooth"
REQUESTS = ("GET /track?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: batches of 50 to 20,000 records."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 50, 20_000)),
        "size": round(hosts.log_uniform(random, 10, 600)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""
