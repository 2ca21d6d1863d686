"""A task is started that waits for an answer of the other side, and that answer never comes."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "tasks"
KIND = "plain"
REQUESTS = ("GET /ask?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /ask"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many questions are never answered."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the tasks left per question."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Asks another service and lets a task wait for what it says."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.waiting: set[asyncio.Task[Any]] = set()

    async def answer(self, request: hosts.Request) -> str | None:
        """Ask; most answers are there at once."""
        if request.path != "/ask":
            return None
        answered = asyncio.Event()
        task = asyncio.create_task(answered.wait())
        self.waiting.add(task)
        task.add_done_callback(self.waiting.discard)
        if not self.chance(self.parameters["rate"]):
            answered.set()
        return "asked"
