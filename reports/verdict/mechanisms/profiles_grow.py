"""Each visit is appended to the history of its user: 200 small lists that grow for ever, and no large one."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "heap"
KIND = "tiny-holders"
REQUESTS = ("GET /visit?n={n}", "GET /status?n={n}")
OPERATION = "GET /visit"

VISIT = 130
"""Bytes of a tuple with its two numbers and its place in a list."""


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per visit on the average."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 64, 1_024)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per visit."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Remembers who looked at what, and when."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.visits: defaultdict[int, list[tuple[float, int]]] = defaultdict(list)

    async def answer(self, request: hosts.Request) -> str | None:
        """Note a visit with what was looked at."""
        if request.path != "/visit":
            return None
        for _ in range(self.pieces(self.parameters["rate"] / VISIT)):
            self.visits[request.n].append((time.time(), self.random.getrandbits(31)))
        return str(len(self.visits))
