"""Bodies that could not be stored are kept for another try that never comes."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = True
HOST = "gevent"
RESOURCE = "heap"
KIND = "error-path"
REQUESTS = ("GET /store?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /store"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per failure on the average, and per kept body."""
    return {**hosts.ordinary(random), **hosts.bytes_kept(random, 64, 16_384)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per failure."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Stores bodies; the store refuses all."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.again: list[bytes] = []

    def answer(self, request: hosts.Request) -> str | None:
        """Try to store a body."""
        if request.path != "/store":
            return None
        if self.chance(self.parameters["rate"] / self.parameters["size"]):
            self.again.append(b"b" * self.parameters["size"])
        raise hosts.Rejected("the store is full")
