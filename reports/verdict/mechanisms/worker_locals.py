"""Four worker threads that never end collect what they did in thread-locals: no other thread sees it."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hosts

LEAKS = True
HOST = "threads"
RESOURCE = "heap"
KIND = "tiny-holders"
REQUESTS = ("GET /task?n={n}", "GET /status?n={n}")
OPERATION = "GET /task"

DONE = 205
"""Bytes of what is remembered of a task."""


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per task on the average."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 64, 2_048)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per task."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Gives tasks to four workers."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.local = threading.local()
        self.workers = ThreadPoolExecutor(max_workers=4)

    def work(self, number: int) -> int:
        """Do a task in a worker, which remembers it."""
        if not hasattr(self.local, "done"):
            self.local.done = []
        for _ in range(self.pieces(self.parameters["rate"] / DONE)):
            self.local.done.append((number, self.random.random(), f"task {self.random.getrandbits(30)}"))
        return len(self.local.done)

    def answer(self, request: hosts.Request) -> str | None:
        """Have a task done."""
        return str(self.workers.submit(self.work, request.n).result()) if request.path == "/task" else None
