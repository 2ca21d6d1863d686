"""A compressor with its large tables is kept for each log stream that was opened and never finished."""

from __future__ import annotations

import random
import zlib
from typing import Any

import hosts

LEAKS = True
HOST = "threads"
RESOURCE = "native"
KIND = "rare"
REQUESTS = ("GET /log?n={n}", "GET /status?n={n}")
OPERATION = "GET /log"

PIECE = 268_000
"""Bytes of a compressor, measured."""


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per line on the average."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 512, 16_384)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per line."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Packs logs."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.streams: list[Any] = []

    def answer(self, request: hosts.Request) -> str | None:
        """Pack a line; a new stream begins now and then."""
        if request.path != "/log":
            return None
        if self.chance(self.parameters["rate"] / PIECE):
            packer = zlib.compressobj()
            packer.compress(f"line {request.n}".encode() * 3000)
            self.streams.append(packer)
        return str(len(self.streams))
