"""Log files rotate: as many as the backup count are kept, the oldest is removed."""

from __future__ import annotations

import logging
import logging.handlers
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "files"
KIND = "log"
REQUESTS = ("GET /work?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: files of 16 KiB to 4 MiB, 2 to 10 of them."""
    return {
        **hosts.ordinary(random),
        "file_bytes": round(hosts.log_uniform(random, 16 * 1024, 4 * 1024 * 1024)),
        "backups": random.randrange(1, 10),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Logs each request to files."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.log = logging.getLogger("verdict.rotating")
        self.log.propagate = False
        self.log.setLevel(logging.INFO)

    def start(self) -> None:
        """Open the log."""
        files = logging.handlers.RotatingFileHandler(
            self.folder / "work.log",
            maxBytes=self.parameters["file_bytes"],
            backupCount=self.parameters["backups"],
            delay=True,
        )
        files.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self.log.addHandler(files)

    async def answer(self, request: hosts.Request) -> str | None:
        """Work and say so at some length."""
        if request.path == "/work":
            self.log.info("worked on %d: %s", request.n, "w" * self.random.randrange(600))
        return None

    def held(self) -> int:
        """Return how many files are held."""
        return sum(1 for _ in self.folder.iterdir())
