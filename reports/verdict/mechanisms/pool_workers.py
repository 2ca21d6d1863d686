"""A pool of worker processes is started as they are needed, and each is replaced after a number of jobs."""

from __future__ import annotations

import asyncio
import asyncio.subprocess
import os
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "processes"
KIND = "pool"
REQUESTS = ("GET /job?n={n}", "GET /health?n={n}")
OPERATION = None


class Worker:
    """A child that answers each line with a line."""

    def __init__(self, child: asyncio.subprocess.Process) -> None:
        self.child = child
        self.jobs = 0

    async def work(self, number: int) -> bytes:
        """Do one job."""
        self.jobs += 1
        if self.child.stdin is None or self.child.stdout is None:
            raise RuntimeError("a worker has two pipes")
        self.child.stdin.write(b"%d\n" % number)
        return await self.child.stdout.readline()


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 1 to 6 workers, each for 20 to 1,000 jobs; one request in 2 to 20 is a job."""
    return {
        **hosts.ordinary(random),
        "bound": random.randrange(1, 7),
        "jobs": round(hosts.log_uniform(random, 20, 1000)),
        "share": hosts.log_uniform(random, 0.05, 0.5),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Gives jobs to workers."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.idle: list[Worker] = []
        self.places = asyncio.Semaphore(parameters["bound"])
        self.workers = 0

    async def job(self, number: int) -> bytes:
        """Have one job done by a free worker, or by a new one."""
        async with self.places:
            worker = (
                self.idle.pop(0)
                if self.idle and (self.workers == self.parameters["bound"] or not self.chance(0.02))
                else None
            )
            if worker is None:
                self.workers += 1
                child = await asyncio.create_subprocess_exec(
                    "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env={"PATH": os.defpath}
                )
                worker = Worker(child)
            result = await worker.work(number)
            if worker.jobs < self.parameters["jobs"]:
                self.idle.append(worker)
            else:
                self.workers -= 1
                await worker.child.communicate(b"")  # closes its input, which ends it
            return result

    async def answer(self, request: hosts.Request) -> str | bytes | None:
        """Do a job."""
        if request.path != "/job" or not self.chance(self.parameters["share"]):
            return None
        return await self.job(request.n)

    def end(self) -> None:
        """Leave the children alone: each ends when its input does, and that ends with this process."""

    def held(self) -> int:
        """Return how many workers are held."""
        return self.workers
