"""A health check makes an epoll object, and the list of checks keeps those that timed out."""

from __future__ import annotations

import random
import select
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "fds"
KIND = "rare"
REQUESTS = ("GET /health?n={n}", "GET /status?n={n}")
OPERATION = "GET /health"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one check in 10 to 1,000 times out."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 1_000, 1 / 10)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the descriptors left per check."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Checks the health of a neighbour."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.checks: list[select.epoll] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Check."""
        if request.path != "/health":
            return None
        poll = select.epoll()
        ready = poll.poll(0)
        if self.chance(self.parameters["rate"]):
            self.checks.append(poll)
        else:
            poll.close()
        return str(len(ready))
