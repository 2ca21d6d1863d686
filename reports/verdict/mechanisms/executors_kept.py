"""A thread pool of one worker is made for an export and remembered by the export's name, never shut down."""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "threads"
KIND = "rare"
REQUESTS = ("GET /export?n={n}", "GET /status?n={n}")
OPERATION = "GET /export"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one export in 40 to 300 makes a pool."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1 / 40)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the threads left per export."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Exports tables; large ones in a pool of their own."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.pools: dict[int, ThreadPoolExecutor] = {}

    async def answer(self, request: hosts.Request) -> str | None:
        """Export; a large table in a thread."""
        if request.path != "/export" or not self.chance(self.parameters["rate"]):
            return None
        pool = self.pools[self.requests] = ThreadPoolExecutor(max_workers=1, thread_name_prefix="export")
        return str(await asyncio.wrap_future(pool.submit(sum, range(request.n))))
