"""Log records wait in a MemoryHandler until a number of them is there, and go to files that rotate."""

from __future__ import annotations

import logging
import logging.handlers
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "heap"
KIND = "log"
REQUESTS = ("GET /work?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 100 to 30,000 records wait; files of 64 KiB to 2 MiB, three of them."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 100, 30_000)),
        "file_bytes": round(hosts.log_uniform(random, 64 * 1024, 2 * 1024 * 1024)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Logs each request."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.log = logging.getLogger("verdict.memory")
        self.log.propagate = False
        self.log.setLevel(logging.INFO)

    def start(self) -> None:
        """Open the log."""
        files = logging.handlers.RotatingFileHandler(
            self.folder / "work.log", maxBytes=self.parameters["file_bytes"], backupCount=2
        )
        self.waiting = logging.handlers.MemoryHandler(self.parameters["bound"], target=files)
        self.log.addHandler(self.waiting)

    async def answer(self, request: hosts.Request) -> str | None:
        """Work and say so."""
        if request.path == "/work":
            self.log.info("worked on %d for %s", request.n, "w" * self.random.randrange(120))
        return None

    def held(self) -> int:
        """Return how many records are held."""
        return len(self.waiting.buffer)
