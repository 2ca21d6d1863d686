"""An interval takes samples some times a second and puts them into a Set that nobody empties."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = True
HOST = "node"
RESOURCE = "registry"
KIND = "time-driven"
REQUESTS = ("GET /work?n={n}", "GET /status?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: samples per second."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 0.5, 20)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the samples per second."""
    return float(parameters["rate"])
