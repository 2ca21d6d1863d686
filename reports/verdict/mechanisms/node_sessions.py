"""A Map of sessions gets an entry at each login, and few clients log out."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = True
HOST = "node"
RESOURCE = "registry"
KIND = "plain"
REQUESTS = ("GET /login?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /login"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many logins stay."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the entries left per login."""
    return float(parameters["rate"])
