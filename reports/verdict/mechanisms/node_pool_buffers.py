"""Buffers are taken from a pool, which grows with what is sent at once and is halved by a timer when idle."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "node"
RESOURCE = "native"
KIND = "pool"
REQUESTS = ("GET /send?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: buffers of 4 to 256 KiB, up to 2 to 100 at once; the pool is halved every 0.3 to 8 s."""
    return {
        **hosts.ordinary(random),
        "size": round(hosts.log_uniform(random, 4 * 1024, 256 * 1024)),
        "bound": round(hosts.log_uniform(random, 2, 100)),
        "seconds": hosts.log_uniform(random, 0.3, 8),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""
