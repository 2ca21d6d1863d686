"""Each session listens to an emitter, and one that is cut off never stops."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = True
HOST = "node"
RESOURCE = "heap"
KIND = "per-session"
REQUESTS = ("GET /live?n={n}", "GET /status?n={n}")
OPERATION = "GET /live"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per session on the average, and the size of a listener's buffer."""
    return {
        **hosts.ordinary(random),
        "rate": hosts.log_uniform(random, 64, 16_384),
        "size": random.randrange(200, 8_000),
    }


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per live session."""
    return float(parameters["rate"])
