"""Beside a pool of descriptors that grows and shrinks by several, now and then one is not given back."""

from __future__ import annotations

import os
import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "fds"
KIND = "noise"
REQUESTS = ("GET /borrow?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /borrow"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one loan in 10 to 300 is lost, and how far the pool swings."""
    return {
        **hosts.ordinary(random),
        "rate": hosts.log_uniform(random, 1 / 300, 1 / 10),
        "swing": random.randrange(4, 16),
    }


def rate(parameters: dict[str, Any]) -> float:
    """Return the descriptors lost per loan."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Lends descriptors from a pool."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.pool: list[int] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Move the pool to another size; borrow from it."""
        wanted = self.random.randrange(self.parameters["swing"] + 1)
        while len(self.pool) < wanted:
            self.pool.append(os.eventfd(0, os.EFD_CLOEXEC))
        while len(self.pool) > wanted:
            os.close(self.pool.pop())
        if request.path == "/borrow" and self.pool and self.chance(self.parameters["rate"] / self.lent):
            self.pool.pop()
        return str(wanted)

    @property
    def lent(self) -> float:
        """How often the pool is not empty."""
        return self.parameters["swing"] / (self.parameters["swing"] + 1)
