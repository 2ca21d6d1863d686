"""A poller makes an eventfd for each of its turns and forgets to close it."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "fds"
KIND = "time-driven"
REQUESTS = ("GET /work?n={n}", "GET /status?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: turns per second."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 0.5, 20)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the descriptors per second."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Polls something in the background."""

    def start(self) -> None:
        """Begin to poll."""
        self.poller = asyncio.create_task(self.poll())

    async def poll(self) -> None:
        """Poll for ever."""
        while True:
            await asyncio.sleep(1 / self.parameters["rate"])
            os.eventfd_write(os.eventfd(0, os.EFD_CLOEXEC), 1)

    async def answer(self, request: hosts.Request) -> str | None:
        """Do only what any request does."""
        return f"number {request.n}" if request.path == "/status" else None
