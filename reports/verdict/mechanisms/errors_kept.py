"""Exceptions are kept for a status page with their tracebacks, whose frames hold the bodies that did not parse."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "heap"
KIND = "error-path"
REQUESTS = ("GET /parse?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /parse"

FRAMES = 1_100
"""Bytes of an exception, its traceback and two frames, about."""


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per failure on the average, and per kept failure."""
    return {**hosts.ordinary(random), **hosts.bytes_kept(random, 256, 16_384)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per failed parse."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Parses uploads; all of them are malformed."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.failures: list[Exception] = []

    def parse(self, body: bytearray) -> None:
        """Parse an upload. Raises ValueError."""
        raise ValueError(f"{len(body)} bytes without a header")

    async def answer(self, request: hosts.Request) -> str | None:
        """Parse; keep some failures for the status page."""
        if request.path != "/parse":
            return str(len(self.failures))
        try:
            self.parse(bytearray(max(64, self.parameters["size"] - FRAMES)))
        except ValueError as error:
            if self.chance(self.parameters["rate"] / max(64 + FRAMES, self.parameters["size"])):
                self.failures.append(error)
        raise hosts.Rejected("malformed upload")
