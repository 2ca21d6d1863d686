"""Scratch memory is mapped for a sort and stays mapped, since the table of sorts keeps it."""

from __future__ import annotations

import mmap
import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "native"
KIND = "mapped"
REQUESTS = ("GET /sort?n={n}", "GET /status?n={n}")
OPERATION = "GET /sort"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per sort on the average, and per kept mapping."""
    return {
        **hosts.ordinary(random),
        "rate": hosts.log_uniform(random, 512, 16_384),
        "size": 4096 * random.randrange(4, 33),
    }


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per sort."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Sorts large tables in scratch memory of their own."""

    mapped = True

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.sorts: list[mmap.mmap] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Sort; the scratch memory of some sorts stays."""
        if request.path == "/sort" and self.chance(self.parameters["rate"] / self.parameters["size"]):
            scratch = mmap.mmap(-1, self.parameters["size"], flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            scratch.write(b"s" * self.parameters["size"])
            self.sorts.append(scratch)
        return None
