"""Messages go into a queue of a fixed size that a slow consumer empties; what does not fit is dropped."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "ring"
REQUESTS = ("GET /publish?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: a queue of 100 to 30,000 messages, emptied at 1 to 60 a second."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 100, 30_000)),
        "each_second": hosts.log_uniform(random, 1, 60),
        "size": round(hosts.log_uniform(random, 20, 1000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Publishes messages."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.queue: asyncio.Queue[str] = asyncio.Queue(maxsize=parameters["bound"])

    def start(self) -> None:
        """Begin to consume."""
        self.consumer = asyncio.create_task(self.consume())

    async def consume(self) -> None:
        """Take one message after another, slowly."""
        while True:
            await self.queue.get()
            await asyncio.sleep(1 / self.parameters["each_second"])

    async def answer(self, request: hosts.Request) -> str | None:
        """Publish a message, or drop it: that is not an error."""
        if request.path != "/publish":
            return None
        try:
            self.queue.put_nowait(f"{request.n} " + "m" * self.random.randrange(2 * self.parameters["size"]))
        except asyncio.QueueFull:
            return "dropped"
        return "published"

    def held(self) -> int:
        """Return how many messages are held."""
        return self.queue.qsize()
