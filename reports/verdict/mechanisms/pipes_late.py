"""Once a limit of open helpers was reached, a fallback opens a pipe for each request and closes one end of it."""

from __future__ import annotations

import os
import random
from typing import Any

import hosts

LEAKS = True
HOST = "threads"
RESOURCE = "fds"
KIND = "late"
REQUESTS = ("GET /pipe?n={n}", "GET /status?n={n}")
OPERATION = "GET /pipe"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many requests need a pipe, and the requests before the fallback."""
    return {
        **hosts.ordinary(random),
        "rate": hosts.log_uniform(random, 1 / 300, 1),
        "onset": round(hosts.log_uniform(random, 100, 2_500)),
    }


def rate(parameters: dict[str, Any]) -> float:
    """Return the descriptors left per request."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Pipes data through."""

    def answer(self, request: hosts.Request) -> str | None:
        """Pipe some data."""
        if request.path != "/pipe" or not self.chance(self.parameters["rate"]):
            return None
        read, write = os.pipe()
        os.write(write, b"data")
        data = os.read(read, 4)
        os.close(write)
        if self.requests <= self.parameters["onset"]:
            os.close(read)
        return data.decode()
