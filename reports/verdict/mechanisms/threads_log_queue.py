"""Log records go through a queue to a thread that gathers them and writes them to files that rotate."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import random
from typing import Any

import hosts

LEAKS = False
HOST = "threads"
RESOURCE = "heap"
KIND = "log"
REQUESTS = ("GET /work?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 10 to 10,000 records are gathered; a file has 64 KiB to 2 MiB."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 10, 10_000)),
        "file_bytes": round(hosts.log_uniform(random, 64 * 1024, 2 * 1024 * 1024)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Logs through a queue."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.log = logging.getLogger("verdict.queue")
        self.log.propagate = False
        self.log.setLevel(logging.INFO)

    def start(self) -> None:
        """Open the log and begin to listen."""
        files = logging.handlers.RotatingFileHandler(
            self.folder / "work.log", maxBytes=self.parameters["file_bytes"], backupCount=1
        )
        self.waiting = logging.handlers.MemoryHandler(self.parameters["bound"], target=files)
        records: queue.Queue[logging.LogRecord] = queue.Queue()
        self.log.addHandler(logging.handlers.QueueHandler(records))
        self.listener = logging.handlers.QueueListener(records, self.waiting)
        self.listener.start()

    def answer(self, request: hosts.Request) -> str | None:
        """Work and say so."""
        if request.path == "/work":
            self.log.info("worked on %d for %s", request.n, "w" * self.random.randrange(200))
        return None

    def held(self) -> int:
        """Return how many records are held."""
        return len(self.waiting.buffer)
