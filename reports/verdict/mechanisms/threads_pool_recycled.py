"""Worker threads take jobs from a queue, and each ends after a number of jobs and is replaced."""

from __future__ import annotations

import queue
import random
import threading
from typing import Any

import hosts

LEAKS = False
HOST = "threads"
RESOURCE = "threads"
KIND = "pool"
REQUESTS = ("GET /job?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 1 to 16 workers, each for 10 to 2,000 jobs, each with a buffer of 4 to 512 KiB."""
    return {
        **hosts.ordinary(random),
        "bound": random.randrange(1, 17),
        "jobs": round(hosts.log_uniform(random, 10, 2000)),
        "size": round(hosts.log_uniform(random, 4 * 1024, 512 * 1024)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Gives jobs to workers."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.jobs: queue.Queue[tuple[int, queue.Queue[int]]] = queue.Queue()

    def start(self) -> None:
        """Start the workers."""
        for _ in range(self.parameters["bound"]):
            self.begin()

    def begin(self) -> None:
        """Start one worker."""
        threading.Thread(target=self.work, daemon=True, name="worker").start()

    def work(self) -> None:
        """Do a number of jobs with one buffer, then let another thread go on."""
        buffer = bytearray(self.parameters["size"])
        for _ in range(self.parameters["jobs"]):
            number, done = self.jobs.get()
            buffer[number % len(buffer)] = number % 256
            done.put(buffer[number % len(buffer)])
        self.begin()

    def answer(self, request: hosts.Request) -> str | None:
        """Have a job done."""
        if request.path != "/job":
            return None
        done: queue.Queue[int] = queue.Queue()
        self.jobs.put((request.n, done))
        return str(done.get())

    def held(self) -> int:
        """Return how many threads are held."""
        return sum(one.name == "worker" for one in threading.enumerate())
