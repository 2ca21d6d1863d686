"""Buffers of uploads are kept in a list of retries that are never made."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = True
HOST = "node"
RESOURCE = "native"
KIND = "plain"
REQUESTS = ("GET /upload?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /upload"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per upload on the average, and per kept buffer."""
    return {**hosts.ordinary(random), **hosts.bytes_kept(random, 512, 16_384)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per upload."""
    return float(parameters["rate"])
