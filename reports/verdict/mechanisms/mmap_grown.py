"""Records are written round and round into a mapped file, which is doubled until it has its full size."""

from __future__ import annotations

import mmap
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "native"
KIND = "ring"
REQUESTS = ("GET /record?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: a file of 256 KiB to 64 MiB, records of 100 to 8,000 bytes."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 256 * 1024, 64 * 1024 * 1024)),
        "size": round(hosts.log_uniform(random, 100, 8000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Records into a mapped file."""

    def start(self) -> None:
        """Map the file."""
        self.at = 0
        with (self.folder / "ring").open("w+b") as file:
            file.truncate(mmap.PAGESIZE * 4)
            self.ring = mmap.mmap(file.fileno(), 0)

    async def answer(self, request: hosts.Request) -> str | None:
        """Write a record behind the last one, or at the beginning when the file is full."""
        if request.path != "/record":
            return None
        record = request.n.to_bytes(8, "big") + bytes(self.random.randrange(2 * self.parameters["size"]))
        if self.at + len(record) > len(self.ring):
            if len(self.ring) < self.parameters["bound"]:
                self.ring.resize(2 * len(self.ring))
            else:
                self.at = 0
        self.ring[self.at : self.at + len(record)] = record
        self.at += len(record)
        return str(self.at)

    def held(self) -> int:
        """Return how many bytes are held."""
        return len(self.ring)
