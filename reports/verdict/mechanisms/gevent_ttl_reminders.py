"""Each order has a greenlet that reminds of it later, and ends then."""

from __future__ import annotations

import random
from typing import Any

import gevent
import hosts

LEAKS = False
HOST = "gevent"
RESOURCE = "tasks"
KIND = "ttl"
REQUESTS = ("GET /order?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one order in 1 to 50 has a reminder, after 0.2 to 8 s."""
    return {
        **hosts.ordinary(random),
        "share": hosts.log_uniform(random, 0.02, 1),
        "seconds": hosts.log_uniform(random, 0.2, 8),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Reminds of orders."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.waiting: set[int] = set()

    def remind(self, order: int) -> None:
        """Remind of one order."""
        self.waiting.discard(order)

    def answer(self, request: hosts.Request) -> str | None:
        """Order something."""
        if request.path == "/order" and self.chance(self.parameters["share"]):
            self.waiting.add(self.requests)
            gevent.spawn_later(self.random.uniform(0.5, 1) * self.parameters["seconds"], self.remind, self.requests)
        return None

    def held(self) -> int:
        """Return how many reminders are held."""
        return len(self.waiting)
