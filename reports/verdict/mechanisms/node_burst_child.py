"""A job is done by a child process that is waited for."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "node"
RESOURCE = "processes"
KIND = "burst"
REQUESTS = ("GET /convert?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one request in 20 to 300 starts a child."""
    return {
        **hosts.ordinary(random),
        "share": hosts.log_uniform(random, 0.0033, 0.05),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""
