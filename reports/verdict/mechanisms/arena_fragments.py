"""A fixed number of slots is filled anew with pieces of very different sizes, so memory lies in fragments."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "native"
KIND = "fragmentation"
REQUESTS = ("GET /store?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 200 to 10,000 slots, pieces of 16 bytes to 64 KiB, 1 to 8 a request."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 200, 10_000)),
        "each": random.randrange(1, 9),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Stores pieces in slots."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.slots: list[bytes] = [b""] * parameters["bound"]

    async def answer(self, request: hosts.Request) -> str | None:
        """Fill some slots anew."""
        if request.path != "/store":
            return None
        for _ in range(self.parameters["each"]):
            piece = bytes(round(hosts.log_uniform(self.random, 16, 65_536)))
            self.slots[self.random.randrange(len(self.slots))] = piece
        return "stored"

    def held(self) -> int:
        """Return how many bytes in slots are held."""
        return sum(map(len, self.slots))
