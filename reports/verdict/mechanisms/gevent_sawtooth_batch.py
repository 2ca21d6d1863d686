"""Records gather in a batch, sent when full or by a greenlet every few seconds, whichever comes first."""

from __future__ import annotations

import json
import random
from typing import Any

import gevent
import hosts

LEAKS = False
HOST = "gevent"
RESOURCE = "heap"
KIND = "sawtooth"
REQUESTS = ("GET /track?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: batches of 50 to 30,000 records, sent every 0.5 to 20 s at the latest."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 50, 30_000)),
        "seconds": hosts.log_uniform(random, 0.5, 20),
        "entries": hosts.log_uniform(random, 0.3, 5),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Tracks what users do."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.batch: list[dict[str, Any]] = []
        self.sent = 0

    def start(self) -> None:
        """Begin to send by time."""
        gevent.spawn(self.send_by_time)

    def send_by_time(self) -> None:
        """Send what there is, again and again."""
        while True:
            gevent.sleep(self.parameters["seconds"])
            self.send()

    def send(self) -> None:
        """Send the batch and begin another."""
        batch, self.batch = self.batch, []
        self.sent += len(json.dumps(batch))

    def answer(self, request: hosts.Request) -> str | None:
        """Add records to the batch."""
        if request.path == "/track":
            for _ in range(self.pieces(self.parameters["entries"])):
                self.batch.append({"user": request.n, "at": self.requests, "what": f"{self.random.random()}"})
            if len(self.batch) >= self.parameters["bound"]:
                self.send()
        return str(self.sent)

    def held(self) -> int:
        """Return how many records are held."""
        return len(self.batch)
