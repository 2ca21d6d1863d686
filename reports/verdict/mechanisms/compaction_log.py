"""Changes are appended to a log, which is reduced to the newest change of each key when it is twice as long."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "sawtooth"
REQUESTS = ("GET /put?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 50 to 20,000 keys."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 50, 20_000)),
        "size": round(hosts.log_uniform(random, 10, 500)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Stores values by an appended log."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.log: list[tuple[int, str]] = []
        self.keys: set[int] = set()

    async def answer(self, request: hosts.Request) -> str | None:
        """Put a value."""
        if request.path != "/put":
            return None
        key = self.random.randrange(self.parameters["bound"])
        self.keys.add(key)
        self.log.append((key, "v" * self.random.randrange(2 * self.parameters["size"])))
        if len(self.log) > 2 * len(self.keys) + 500:
            self.log = list(dict(self.log).items())
        return str(len(self.log))

    def held(self) -> int:
        """Return how many changes are held."""
        return len(self.log)
