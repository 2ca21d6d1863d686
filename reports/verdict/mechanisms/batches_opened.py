"""Every so many requests a batch opens several files at once, and its end closes all but these."""

from __future__ import annotations

import os
import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "fds"
KIND = "stepwise"
REQUESTS = ("GET /collect?n={n}", "GET /status?n={n}")
OPERATION = "GET /collect"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: the requests of one batch, and the files that it leaves."""
    return {**hosts.ordinary(random), "every": random.randrange(50, 600), "several": random.randrange(2, 9)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the descriptors left per request."""
    return float(parameters["several"] / parameters["every"])


class Program(hosts.Program):
    """Collects requests into batches."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.collected = 0

    async def answer(self, request: hosts.Request) -> str | None:
        """Collect; a full batch is written."""
        if request.path != "/collect":
            return None
        self.collected += 1
        if self.collected % self.parameters["every"] == 0:
            for index in range(self.parameters["several"]):
                descriptor = os.open(self.folder / f"part-{index}", os.O_CREAT | os.O_WRONLY)
                os.write(descriptor, b"batch")
        return str(self.collected)
