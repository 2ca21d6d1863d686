"""Each subscription registers a listener on the event bus; the path that ends it early does not take it off."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "registry"
KIND = "rare"
REQUESTS = ("GET /subscribe?n={n}", "GET /notify?n={n}", "GET /status?n={n}")
OPERATION = "GET /subscribe"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one subscription in 10 to 300 leaves its listener."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1 / 10)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the listeners left per subscription."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """An event bus."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.listeners: list[Callable[[int], int]] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Subscribe for the length of the request, or tell all subscribers."""
        if request.path == "/notify":
            return str(sum(listener(request.n) for listener in self.listeners[-50:]))
        if request.path == "/subscribe":
            self.listeners.append(listener := lambda number, own=request.n: number + own)
            if self.chance(self.parameters["rate"]):
                return "already subscribed"
            self.listeners.remove(listener)
        return None
