"""Sessions that were idle for some seconds are ended by a timer, and most clients never log out."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "node"
RESOURCE = "registry"
KIND = "ttl"
REQUESTS = ("GET /login?n={n}", "GET /page?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters.

    Sessions end after 1 to 10 s idle; 1 to 60 % of the requests for a page touch an old session.
    """
    return {
        **hosts.ordinary(random),
        "seconds": hosts.log_uniform(random, 1, 10),
        "touching": hosts.log_uniform(random, 0.01, 0.6),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""
