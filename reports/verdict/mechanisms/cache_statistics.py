"""Statistics have one record per route, status and customer class: a fixed number, of which the rare ones come late."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "lazy"
REQUESTS = ("GET /order?n={n}", "GET /report?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 100 to 5,000 records with a histogram of 12 to 200 buckets."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 100, 5000)),
        "buckets": round(hosts.log_uniform(random, 12, 200)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Counts by kind."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.statistics: dict[tuple[str, int], dict[str, Any]] = {}

    async def answer(self, request: hosts.Request) -> str | None:
        """Count one request in its record."""
        if request.path == "/health":
            return None
        kind = min(int(self.random.expovariate(10 / self.parameters["bound"])), self.parameters["bound"] // 2 - 1)
        empty = {"count": 0, "seconds": 0.0, "histogram": [0] * self.parameters["buckets"]}
        record = self.statistics.setdefault((request.path, kind), empty)
        record["count"] += 1
        record["seconds"] += self.random.random()
        record["histogram"][self.random.randrange(self.parameters["buckets"])] += 1
        return str(record["count"])

    def held(self) -> int:
        """Return how many records are held."""
        return len(self.statistics)
