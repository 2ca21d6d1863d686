"""Segments stay open until a batch of them is whole; then all are closed and removed."""

from __future__ import annotations

import os
import random
from typing import Any, BinaryIO

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "fds"
KIND = "sawtooth"
REQUESTS = ("GET /segment?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: batches of 4 to 200 segments, one segment in 1 to 30 requests."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 4, 200)),
        "share": hosts.log_uniform(random, 0.033, 1),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Writes segments."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.segments: list[BinaryIO] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Write a segment, and end the batch when it is whole."""
        if request.path == "/segment" and self.chance(self.parameters["share"]):
            segment = (self.folder / f"segment-{len(self.segments)}").open("wb")
            segment.write(bytes(request.n))
            self.segments.append(segment)
        if len(self.segments) >= self.parameters["bound"]:
            for segment in self.segments:
                segment.close()
                os.unlink(segment.name)  # noqa: PTH108 - as short as a loop may be held up
            self.segments.clear()
        return None

    def held(self) -> int:
        """Return how many segments are held."""
        return len(self.segments)
