"""A history of measurements is cut to a constant of the module."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "ring"
REQUESTS = ("GET /measure?n={n}", "GET /history?n={n}")
OPERATION = None

HISTORY_LIMIT = 20_000
"""Measurements."""


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters.

    0.2 to 20 measurements per request, so that 20,000 are there after 1,000 to 100,000 requests.
    """
    return {
        **hosts.ordinary(random),
        "entries": hosts.log_uniform(random, 0.2, 20),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Keeps a history."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.history: list[tuple[float, int]] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Note measurements, or return the mean of the newest."""
        if request.path == "/history":
            newest = self.history[-20:]
            return str(sum(value for value, _ in newest) / (len(newest) or 1))
        for _ in range(self.pieces(self.parameters["entries"])):
            self.history.append((self.random.random(), request.n))
        if len(self.history) > HISTORY_LIMIT:
            self.history = self.history[-HISTORY_LIMIT:]
        return None

    def held(self) -> int:
        """Return how many measurements are held."""
        return len(self.history)
