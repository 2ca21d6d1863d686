"""What each thread does is noted in a table by thread, and not taken out when the thread has ended."""

from __future__ import annotations

import random
import threading
from typing import Any

import hosts

LEAKS = True
HOST = "threads"
RESOURCE = "registry"
KIND = "per-session"
REQUESTS = ("GET /work?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /work"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many threads are noted."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the entries per connection that worked."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Notes what its threads do; each connection has its own."""

    closes = True

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.doing: dict[threading.Thread, str] = {}

    def answer(self, request: hosts.Request) -> str | None:
        """Work, and note it."""
        if request.path == "/work" and self.chance(self.parameters["rate"]):
            self.doing[threading.current_thread()] = f"work {request.n}"
        return None
