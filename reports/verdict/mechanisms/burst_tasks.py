"""Once in a while a request fans out into very many tasks, and all of them are waited for."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "tasks"
KIND = "burst"
REQUESTS = ("GET /search?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one search in 20 to 500 fans out into 100 to 3,000 tasks."""
    return {
        **hosts.ordinary(random),
        "share": hosts.log_uniform(random, 0.002, 0.05),
        "tasks": round(hosts.log_uniform(random, 100, 3000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Searches in many places at once."""

    async def look(self, place: int) -> list[int]:
        """Look in one place."""
        await asyncio.sleep(0.001)
        return [place] * (place % 50)

    async def answer(self, request: hosts.Request) -> str | None:
        """Search; a wide search looks everywhere at once."""
        if request.path != "/search" or not self.chance(self.parameters["share"]):
            return None
        found = await asyncio.gather(*(self.look(place) for place in range(self.parameters["tasks"])))
        return str(sum(map(len, found)))

    def held(self) -> int:
        """Return how many tasks are held."""
        return len(asyncio.all_tasks())
