"""A request starts a task that reminds of it later, and the task ends then."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "tasks"
KIND = "ttl"
REQUESTS = ("GET /order?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one order in 1 to 50 has a reminder, after 0.2 to 8 s."""
    return {
        **hosts.ordinary(random),
        "share": hosts.log_uniform(random, 0.02, 1),
        "seconds": hosts.log_uniform(random, 0.2, 8),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Reminds of orders."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.reminders: set[asyncio.Task[None]] = set()
        self.last = 0

    async def remind(self, order: int) -> None:
        """Wait and remind."""
        await asyncio.sleep(self.random.uniform(0.5, 1) * self.parameters["seconds"])
        self.last = order

    async def answer(self, request: hosts.Request) -> str | None:
        """Order something."""
        if request.path == "/order" and self.chance(self.parameters["share"]):
            task = asyncio.create_task(self.remind(request.n))
            self.reminders.add(task)
            task.add_done_callback(self.reminders.discard)
        return None

    def held(self) -> int:
        """Return how many tasks are held."""
        return len(self.reminders)
