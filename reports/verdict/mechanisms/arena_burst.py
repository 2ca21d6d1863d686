"""An import early in the run takes very many small objects at once, and leaves a few spread over the memory."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "native"
KIND = "arena"
REQUESTS = ("GET /work?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 1 to 3 bursts of 20,000 to 400,000 objects, the last one within 200 to 6,000 requests."""
    return {
        **hosts.ordinary(random),
        "objects": round(hosts.log_uniform(random, 20_000, 400_000)),
        "within": round(hosts.log_uniform(random, 200, 6000)),
        "bursts": random.randrange(1, 4),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Imports once in a while at its beginning."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.kept: list[bytes] = []
        self.due = sorted(self.random.randrange(parameters["within"]) for _ in range(parameters["bursts"]))

    async def answer(self, request: hosts.Request) -> str | None:
        """Work; import when it is due."""
        if self.due and self.requests > self.due[0]:
            self.due.pop(0)
            rows = [bytes(self.random.randrange(400)) for _ in range(self.parameters["objects"])]
            self.kept.extend(rows[::997])
        return str(len(self.kept)) if request.path == "/work" else None

    def held(self) -> int:
        """Return how many rows are held."""
        return len(self.kept)
