"""Work on the same key is serialised by a lock for each key, and keys are never given up."""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from typing import Any

import hosts

LEAKS = True
HOST = "threads"
RESOURCE = "registry"
KIND = "plain"
REQUESTS = ("GET /book?n={n}", "GET /status?n={n}")
OPERATION = "GET /book"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many requests come with a key of their own."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the locks left per booking."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Books, one at a time for each key."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)

    def answer(self, request: hosts.Request) -> str | None:
        """Book under the lock of the key."""
        if request.path != "/book":
            return None
        key = self.random.getrandbits(52) if self.chance(self.parameters["rate"]) else request.n
        with self.locks[key]:
            return f"booked {key}"
