"""A cache of thumbnails counts its bytes, and drops the oldest ones beyond a number of bytes."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "heap"
KIND = "cache"
REQUESTS = ("GET /thumbnail?n={n}", "GET /album?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 256 KiB to 64 MiB of thumbnails of 0.2 to 16 KiB."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 256 * 1024, 64 * 1024 * 1024)),
        "size": round(hosts.log_uniform(random, 200, 16_384)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Makes thumbnails."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.thumbnails: dict[int, bytes] = {}
        self.held_bytes = 0

    def keep(self, picture: int, data: bytes) -> None:
        """Keep a thumbnail; dictionaries remember which came first."""
        self.held_bytes += len(data) - len(self.thumbnails.pop(picture, b""))
        self.thumbnails[picture] = data
        while self.held_bytes > self.parameters["bound"]:
            self.held_bytes -= len(self.thumbnails.pop(next(iter(self.thumbnails))))

    async def answer(self, request: hosts.Request) -> str | None:
        """Make one thumbnail, or an album of four."""
        for _ in range(4 if request.path == "/album" else 1):
            picture = self.random.randrange(10_000_000)
            self.keep(picture, bytes(self.random.randrange(1, 2 * self.parameters["size"])))
        return str(len(self.thumbnails))

    def held(self) -> int:
        """Return how many bytes of thumbnails are held."""
        return self.held_bytes
