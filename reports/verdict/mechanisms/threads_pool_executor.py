"""An executor begins its threads as they are needed, up to its number, and keeps them."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hosts

LEAKS = False
HOST = "threads"
RESOURCE = "threads"
KIND = "pool"
REQUESTS = ("GET /job?n={n}", "GET /jobs?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters.

    4 to 64 threads; jobs of 0.2 to 5 ms, given one at a time, or up to 64 at once, which is rare.
    """
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 4, 64)),
        "job_seconds": hosts.log_uniform(random, 0.0002, 0.005),
        "share": hosts.log_uniform(random, 0.02, 0.5),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Gives jobs to threads."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.executor = ThreadPoolExecutor(parameters["bound"])

    def job(self, number: int) -> int:
        """Do one job, which waits for something."""
        time.sleep(self.parameters["job_seconds"])
        return number * number

    def answer(self, request: hosts.Request) -> str | None:
        """Have one job done, or some at once."""
        if request.path == "/health" or not self.chance(self.parameters["share"]):
            return None
        together = min(int(self.random.paretovariate(0.9)), 64) if request.path == "/jobs" else 1
        return str(sum(self.executor.map(self.job, range(together))))

    def held(self) -> int:
        """Return how many threads are held."""
        return sum(one.name.startswith("ThreadPoolExecutor") for one in threading.enumerate())
