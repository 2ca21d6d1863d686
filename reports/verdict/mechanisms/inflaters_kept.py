"""The decompressor of a stream is kept for its next message, under a key that is never asked for again."""

from __future__ import annotations

import random
import zlib
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "native"
KIND = "plain"
REQUESTS = ("GET /message?n={n}", "GET /status?n={n}")
OPERATION = "GET /message"

PIECE = 40_500
"""Bytes of a decompressor with its window, measured."""


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per message on the average."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 512, 16_384)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per message."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Takes compressed messages."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.streams: dict[int, Any] = {}
        self.data = zlib.compress(bytes(range(256)) * 200)

    async def answer(self, request: hosts.Request) -> str | None:
        """Inflate the first half of a message; the stream stays if more is to come."""
        if request.path != "/message":
            return None
        inflater = zlib.decompressobj()
        size = len(inflater.decompress(self.data[: len(self.data) // 2]))
        if self.chance(self.parameters["rate"] / PIECE):
            self.streams[self.requests] = inflater
        return str(size)
