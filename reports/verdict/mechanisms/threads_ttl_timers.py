"""A reservation lapses by a threading.Timer of its own, which is cancelled when the reservation is used."""

from __future__ import annotations

import random
import threading
from typing import Any

import hosts

LEAKS = False
HOST = "threads"
RESOURCE = "threads"
KIND = "ttl"
REQUESTS = ("GET /reserve?n={n}", "GET /use?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one request in 3 to 100 reserves for 0.3 to 5 s, at most 200 at a time."""
    return {
        **hosts.ordinary(random),
        "share": hosts.log_uniform(random, 0.01, 0.33),
        "seconds": hosts.log_uniform(random, 0.3, 5),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Reserves places."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.lock = threading.Lock()
        self.reserved: dict[int, threading.Timer] = {}

    def lapse(self, number: int) -> None:
        """End a reservation."""
        with self.lock:
            self.reserved.pop(number, None)

    def answer(self, request: hosts.Request) -> str | None:
        """Reserve if there is a place, or use the newest reservation."""
        if request.path == "/health" or not self.chance(self.parameters["share"]):
            return None
        return self.use() if request.path == "/use" else self.reserve()

    def use(self) -> str:
        """Use the newest reservation, if there is one."""
        with self.lock:
            if self.reserved:
                self.reserved.popitem()[1].cancel()
        return "used"

    def reserve(self) -> str:
        """Reserve a place, if there is one."""
        number = self.random.getrandbits(48)
        timer = threading.Timer(self.parameters["seconds"], self.lapse, (number,))
        timer.daemon = True
        with self.lock:
            if len(self.reserved) >= 200:
                return "full"
            self.reserved[number] = timer
        timer.start()
        return str(number)

    def held(self) -> int:
        """Return how many reservations are held."""
        return len(self.reserved)
