"""Pages are kept in a Map in the order of their use, and the one used longest ago goes when it is full."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "node"
RESOURCE = "registry"
KIND = "cache"
REQUESTS = ("GET /page?n={n}", "GET /list?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: full after 200 to 50,000 misses; pages of up to 100 to 4,000 characters."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 200, 50_000)),
        "size": round(hosts.log_uniform(random, 50, 2000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""
