"""Each session starts an interval for keep-alives, and one that is cut off does not clear it."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = True
HOST = "node"
RESOURCE = "handles"
KIND = "per-session"
REQUESTS = ("GET /open?n={n}", "GET /status?n={n}")
OPERATION = "GET /open"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many sessions are cut off."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the timers left per session."""
    return float(parameters["rate"])
