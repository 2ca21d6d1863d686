"""A table is filled in the background after the start, slowly, until it is whole."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "lazy"
REQUESTS = ("GET /row?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 200 to 100,000 rows within 3 to 45 s."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 200, 100_000)),
        "seconds": hosts.log_uniform(random, 3, 45),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Serves a table that is being filled."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.table: dict[int, dict[str, Any]] = {}

    def start(self) -> None:
        """Begin to fill."""
        self.filler = asyncio.create_task(self.fill())

    async def fill(self) -> None:
        """Fill the table in 200 portions."""
        portions = 200
        for portion in range(portions):
            bound = self.parameters["bound"]
            for row in range(bound * portion // portions, bound * (portion + 1) // portions):
                self.table[row] = {"row": row, "text": f"text of {row}" * 3}
            await asyncio.sleep(self.parameters["seconds"] / portions)

    async def answer(self, request: hosts.Request) -> str | None:
        """Return a row if it is there yet."""
        if request.path != "/row":
            return None
        row = self.table.get(self.random.randrange(self.parameters["bound"]))
        return row["text"] if row else "not yet"

    def held(self) -> int:
        """Return how many rows are held."""
        return len(self.table)
