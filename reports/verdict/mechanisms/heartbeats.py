"""A greenlet sends heartbeats some times a second and remembers each of them to pair it with an answer."""

from __future__ import annotations

import random
import time
from typing import Any

import gevent
import hosts

LEAKS = True
HOST = "gevent"
RESOURCE = "registry"
KIND = "time-driven"
REQUESTS = ("GET /work?n={n}", "GET /status?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: heartbeats per second."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 0.5, 20)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the heartbeats per second."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Sends heartbeats in the background."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.pending: dict[int, float] = {}

    def start(self) -> None:
        """Begin to send."""
        self.sender = gevent.spawn(self.send)

    def send(self) -> None:
        """Send for ever; the answers have another number."""
        number = 0
        while True:
            gevent.sleep(1 / self.parameters["rate"])
            self.pending[number] = time.monotonic()
            number += 2
            self.pending.pop(number + 1, None)

    def answer(self, request: hosts.Request) -> str | None:
        """Do only what any request does."""
        return f"number {request.n}" if request.path == "/status" else None
