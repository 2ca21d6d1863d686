"""One buffer is filled by requests while the other is worked on; a timer exchanges them."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "heap"
KIND = "sawtooth"
REQUESTS = ("GET /draw?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: exchanged every 0.1 to 8 s, strokes of 2 to 200 points."""
    return {
        **hosts.ordinary(random),
        "seconds": hosts.log_uniform(random, 0.1, 8),
        "points": round(hosts.log_uniform(random, 2, 200)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Draws strokes."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.front: list[list[float]] = []
        self.back: list[list[float]] = []

    def start(self) -> None:
        """Begin the timer."""
        self.exchanger = asyncio.create_task(self.exchange())

    async def exchange(self) -> None:
        """Exchange the buffers, and empty the one that was worked on."""
        while True:
            await asyncio.sleep(self.parameters["seconds"])
            self.front, self.back = self.back, self.front
            self.front.clear()

    async def answer(self, request: hosts.Request) -> str | None:
        """Draw a stroke."""
        if request.path != "/draw":
            return None
        self.front.append([self.random.random() for _ in range(self.random.randrange(2 * self.parameters["points"]))])
        return str(len(self.back))

    def held(self) -> int:
        """Return how many strokes are held."""
        return len(self.front) + len(self.back)
