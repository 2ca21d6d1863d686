"""Measurements are gathered in memory, and a timer sends and forgets them."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "heap"
KIND = "sawtooth"
REQUESTS = ("GET /measure?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 0.5 to 25 s from one sending to the next, 64 to 2,048 bytes a request."""
    return {
        **hosts.ordinary(random),
        "seconds": hosts.log_uniform(random, 0.5, 25),
        "size": round(hosts.log_uniform(random, 64, 2048)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Gathers measurements."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.gathered: list[bytes] = []
        self.sent = 0

    def start(self) -> None:
        """Begin the timer."""
        self.sender = asyncio.create_task(self.send())

    async def send(self) -> None:
        """Send what was gathered, again and again."""
        while True:
            await asyncio.sleep(self.parameters["seconds"])
            self.sent += len(self.gathered)
            self.gathered = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Gather one measurement."""
        if request.path != "/measure":
            return None
        self.gathered.append(bytes(self.random.randrange(2 * self.parameters["size"])))
        return str(self.sent)

    def held(self) -> int:
        """Return how many measurements are held."""
        return len(self.gathered)
