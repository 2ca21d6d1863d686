"""A list of events is cut to its newer half whenever it is longer than a number written in the code."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "ring"
REQUESTS = ("GET /event?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 0.1 to 20 events per request, so that 5,000 are there after 250 to 50,000 requests."""
    return {
        **hosts.ordinary(random),
        "entries": hosts.log_uniform(random, 0.1, 20),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Notes events."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.events: list[str] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Note the events of one request."""
        if request.path != "/event":
            return None
        for _ in range(self.pieces(self.parameters["entries"])):
            self.events.append(f"event {request.n} {self.random.random()}")
        if len(self.events) > 5000:
            del self.events[:-2500]
        return str(len(self.events))

    def held(self) -> int:
        """Return how many events are held."""
        return len(self.events)
