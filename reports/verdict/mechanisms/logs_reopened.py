"""Now and then the log is opened anew, several parts of it at once, and the old descriptors stay."""

from __future__ import annotations

import os
import random
from typing import Any

import hosts

LEAKS = True
HOST = "gevent"
RESOURCE = "fds"
KIND = "stepwise"
REQUESTS = ("GET /write?n={n}", "GET /status?n={n}")
OPERATION = "GET /write"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: the requests between two openings, and the parts."""
    return {**hosts.ordinary(random), "every": random.randrange(50, 600), "several": random.randrange(2, 6)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the descriptors left per request."""
    return float(parameters["several"] / parameters["every"])


class Program(hosts.Program):
    """Writes logs."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.written = 0
        self.logs: list[int] = []

    def answer(self, request: hosts.Request) -> str | None:
        """Write a line; open the log anew when it is long."""
        if request.path != "/write":
            return None
        if self.written % self.parameters["every"] == 0:
            for part in range(self.parameters["several"]):
                self.logs.append(os.open(self.folder / f"log-{part}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC))
        self.written += 1
        os.write(self.logs[-1], b"line\n")
        return None
