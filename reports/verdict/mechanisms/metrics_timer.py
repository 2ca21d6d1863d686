"""A task takes a sample of the load some times a second and appends it to a list that nobody shortens."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "registry"
KIND = "time-driven"
REQUESTS = ("GET /work?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: samples per second."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 0.5, 20)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the samples per second."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Watches its own load."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.samples: list[tuple[float, int]] = []

    def start(self) -> None:
        """Begin to watch."""
        self.watcher = asyncio.create_task(self.watch())

    async def watch(self) -> None:
        """Take samples for ever."""
        while True:
            await asyncio.sleep(1 / self.parameters["rate"])
            self.samples.append((time.monotonic(), self.requests))

    async def answer(self, request: hosts.Request) -> str | None:
        """Say how many samples there are."""
        return str(len(self.samples[-100:])) if request.path == "/status" else None
