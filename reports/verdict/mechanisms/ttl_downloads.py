"""Prepared downloads lie in a folder for some seconds, and a timer removes the old ones."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from pathlib import Path
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "files"
KIND = "ttl"
REQUESTS = ("GET /prepare?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one request in 1 to 30 prepares a file of 1 to 40 KB, which lies there for 1 to 12 s."""
    return {
        **hosts.ordinary(random),
        "share": hosts.log_uniform(random, 0.033, 1),
        "seconds": hosts.log_uniform(random, 1, 12),
        "size": round(hosts.log_uniform(random, 1000, 40_000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Prepares downloads."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.prepared: deque[tuple[float, Path]] = deque()

    def start(self) -> None:
        """Begin the timer."""
        self.sweeper = asyncio.create_task(self.sweep())

    async def sweep(self) -> None:
        """Remove old files, again and again."""
        while True:
            await asyncio.sleep(0.25)
            while self.prepared and self.prepared[0][0] < time.monotonic():
                self.prepared.popleft()[1].unlink()

    def prepare(self, number: int) -> str:
        """Write a file that may be fetched for a while."""
        path = self.folder / f"download-{number}"
        path.write_bytes(bytes(self.parameters["size"]))
        self.prepared.append((time.monotonic() + self.parameters["seconds"], path))
        return path.name

    async def answer(self, request: hosts.Request) -> str | None:
        """Prepare a download."""
        if request.path != "/prepare" or not self.chance(self.parameters["share"]):
            return None
        return self.prepare(self.requests)

    def held(self) -> int:
        """Return how many files are held."""
        return len(self.prepared)
