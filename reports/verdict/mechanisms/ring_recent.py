"""The last requests are kept in a deque with a maximum length, for a page of diagnostics."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "ring"
REQUESTS = ("GET /act?n={n}", "GET /recent?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: full after 200 to 60,000 requests."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 200, 60_000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Remembers requests."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.recent: deque[dict[str, Any]] = deque(maxlen=parameters["bound"])

    async def answer(self, request: hosts.Request) -> str | None:
        """Note the request, or show the newest ones."""
        if request.path == "/recent":
            return str([one["n"] for one in list(self.recent)[-5:]])
        self.recent.append({"n": request.n, "path": request.path, "text": "x" * self.random.randrange(200)})
        return None

    def held(self) -> int:
        """Return how many requests are held."""
        return len(self.recent)
