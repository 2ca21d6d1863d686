"""Every so many requests several pages of a statistics file are made ready at once and never dropped."""

from __future__ import annotations

import random
import threading
from typing import Any

import hosts

LEAKS = True
HOST = "threads"
RESOURCE = "heap"
KIND = "stepwise"
REQUESTS = ("GET /count?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /count"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: the requests of one step, the pages that it makes, and bytes per request."""
    return {
        **hosts.ordinary(random),
        "every": random.randrange(20, 300),
        "several": random.randrange(2, 12),
        "rate": hosts.log_uniform(random, 64, 16_384),
    }


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per request."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Counts."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.counted = 0
        self.pages: list[bytearray] = []
        self.lock = threading.Lock()

    def answer(self, request: hosts.Request) -> str | None:
        """Count."""
        if request.path != "/count":
            return None
        with self.lock:
            self.counted += 1
            if self.counted % self.parameters["every"] == 0:
                several = self.parameters["several"]
                size = round(self.parameters["rate"] * self.parameters["every"] / several)
                self.pages.extend(bytearray(b"p" * max(1, size - 80)) for _ in range(several))
        return str(self.counted)
