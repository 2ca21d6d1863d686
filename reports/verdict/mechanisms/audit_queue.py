"""Audit records are put into a queue whose reader was never started."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "registry"
KIND = "plain"
REQUESTS = ("GET /change?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /change"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many changes are audited."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the records per change."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Records changes."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.records: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

    async def answer(self, request: hosts.Request) -> str | None:
        """Change something; sensitive changes are recorded."""
        if request.path == "/change" and self.chance(self.parameters["rate"]):
            self.records.put_nowait((request.n, request.path))
        return None
