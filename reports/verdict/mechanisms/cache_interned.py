"""Names of headers are interned and counted; there is a finite number of them."""

from __future__ import annotations

import random
import sys
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "cache"
REQUESTS = ("GET /headers?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 500 to 50,000 names, 1 to 5 a request, the chance of the k-th falling as 1/k."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 500, 50_000)),
        "each": random.randrange(1, 6),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Counts headers."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.seen: dict[str, int] = {}

    async def answer(self, request: hosts.Request) -> str | None:
        """Count the headers of a request."""
        if request.path != "/headers":
            return None
        for _ in range(self.parameters["each"]):
            name = sys.intern(f"x-header-{int(self.parameters['bound'] ** self.random.random())}")
            self.seen[name] = self.seen.get(name, 0) + 1
        return str(len(self.seen))

    def held(self) -> int:
        """Return how many names are held."""
        return len(self.seen)
