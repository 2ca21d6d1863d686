"""Records gather in a batch, which is packed and sent when it is full."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "heap"
KIND = "sawtooth"
REQUESTS = ("GET /track?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: batches of 20 to 20,000 records, 0.3 to 6 records a request."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 20, 20_000)),
        "entries": hosts.log_uniform(random, 0.3, 6),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Tracks what users do."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.batch: list[dict[str, Any]] = []
        self.packed = b""

    async def answer(self, request: hosts.Request) -> str | None:
        """Add records to the batch."""
        if request.path != "/track":
            return None
        for _ in range(self.pieces(self.parameters["entries"])):
            self.batch.append({"user": request.n, "at": self.requests, "tags": [f"{self.random.random():.6f}"] * 3})
        if len(self.batch) >= self.parameters["bound"]:
            self.packed = zlib.compress(json.dumps(self.batch).encode(), 1)
            self.batch = []
        return str(len(self.packed))

    def held(self) -> int:
        """Return how many records are held."""
        return len(self.batch)
