"""Buffers are taken from a pool, which grows with what is sent at once and is halved by a timer when idle."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "heap"
KIND = "pool"
REQUESTS = ("GET /send?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: buffers of 4 to 256 KiB, up to 2 to 100 at once; the pool is halved every 0.3 to 8 s."""
    return {
        **hosts.ordinary(random),
        "size": round(hosts.log_uniform(random, 4 * 1024, 256 * 1024)),
        "bound": round(hosts.log_uniform(random, 2, 100)),
        "seconds": hosts.log_uniform(random, 0.3, 8),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Sends through buffers."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.free: list[bytearray] = []

    def start(self) -> None:
        """Begin the timer."""
        self.halver = asyncio.create_task(self.halve())

    async def halve(self) -> None:
        """Give half of the free buffers back, again and again."""
        while True:
            await asyncio.sleep(self.parameters["seconds"])
            del self.free[len(self.free) // 2 :]

    async def send(self, number: int) -> int:
        """Send through one buffer."""
        buffer = self.free.pop() if self.free else bytearray(self.parameters["size"])
        buffer[:8] = number.to_bytes(8, "big")
        await asyncio.sleep(0)
        self.free.append(buffer)
        return buffer[7]

    async def answer(self, request: hosts.Request) -> str | None:
        """Send some parts at once, seldom many."""
        if request.path != "/send":
            return None
        parts = min(int(self.random.paretovariate(1.1)), self.parameters["bound"])
        return str(sum(await asyncio.gather(*(self.send(request.n + more) for more in range(parts)))))

    def held(self) -> int:
        """Return how many buffers are held."""
        return len(self.free)
