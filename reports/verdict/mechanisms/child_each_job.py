"""A job is done by a child process that is waited for."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "processes"
KIND = "burst"
REQUESTS = ("GET /convert?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one request in 10 to 200 starts a child."""
    return {
        **hosts.ordinary(random),
        "share": hosts.log_uniform(random, 0.005, 0.1),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Converts by a program."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.running = 0

    async def answer(self, request: hosts.Request) -> str | None:
        """Convert a number through another program."""
        if request.path != "/convert" or not self.chance(self.parameters["share"]):
            return None
        self.running += 1
        child = await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, env={"PATH": os.defpath}
        )
        out, _ = await child.communicate(str(request.n).encode())
        self.running -= 1
        return out.decode()

    def end(self) -> None:
        """Leave the children alone: each ends when its input does, and that ends with this process."""

    def held(self) -> int:
        """Return how many children are held."""
        return self.running
