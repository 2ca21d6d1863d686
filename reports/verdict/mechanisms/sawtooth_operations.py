"""Rows for a report are gathered, and all of them are written and forgotten after a number of requests."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "heap"
KIND = "sawtooth"
REQUESTS = ("GET /row?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 50 to 20,000 requests from one report to the next, rows of 64 to 4,096 bytes."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 50, 20_000)),
        "size": round(hosts.log_uniform(random, 64, 4096)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Gathers rows."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.rows: list[bytes] = []
        self.reports = 0

    async def answer(self, request: hosts.Request) -> str | None:
        """Gather a row, and report when it is time."""
        if request.path != "/row":
            return None
        self.rows.append(bytes(self.random.randrange(2 * self.parameters["size"])))
        if len(self.rows) >= self.parameters["bound"]:
            self.reports += 1
            self.rows.clear()
        return str(self.reports)

    def held(self) -> int:
        """Return how many rows are held."""
        return len(self.rows)
