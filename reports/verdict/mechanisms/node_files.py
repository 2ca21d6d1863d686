"""A file is opened with fs.openSync, and the error of its parser comes before fs.closeSync."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = True
HOST = "node"
RESOURCE = "fds"
KIND = "error-path"
REQUESTS = ("GET /config?n={n}", "GET /status?n={n}")
OPERATION = "GET /config"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many of the wrong files are opened before the error is found."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the descriptors left per failure."""
    return float(parameters["rate"])
