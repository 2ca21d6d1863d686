"""Each camera frame is appended to a history of numpy arrays that only a slice of is ever shown."""

from __future__ import annotations

import random
from typing import Any

import hosts
import numpy as np

LEAKS = True
HOST = "asyncio"
RESOURCE = "native"
KIND = "plain"
REQUESTS = ("GET /frame?n={n}", "GET /status?n={n}")
OPERATION = "GET /frame"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per frame on the average, and per kept frame."""
    return {**hosts.ordinary(random), **hosts.bytes_kept(random, 512, 16_384)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per frame."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Takes frames of a camera."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.history: list[np.ndarray[Any, Any]] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Take a frame; key frames stay."""
        if request.path != "/frame":
            return str(len(self.history[-10:]))
        frame = np.full(self.parameters["size"], request.n % 256, dtype=np.uint8)
        if self.chance(self.parameters["rate"] / self.parameters["size"]):
            self.history.append(frame)
        return str(frame.mean())
