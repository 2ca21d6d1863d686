"""A thread is started for what need not be waited for, and ends when that is done."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import hosts

LEAKS = False
HOST = "threads"
RESOURCE = "threads"
KIND = "ttl"
REQUESTS = ("GET /mail?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one request in 2 to 100 starts a thread of 0.05 to 3 s."""
    return {
        **hosts.ordinary(random),
        "share": hosts.log_uniform(random, 0.01, 0.5),
        "seconds": hosts.log_uniform(random, 0.05, 3),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Sends mail beside."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.sent = 0
        self.sending = threading.BoundedSemaphore(300)

    def send(self) -> None:
        """Send one mail, which takes a while."""
        time.sleep(self.random.uniform(0.3, 1) * self.parameters["seconds"])
        self.sent += 1
        self.sending.release()

    def answer(self, request: hosts.Request) -> str | None:
        """Send a mail, unless too many are being sent."""
        if request.path != "/mail" or not self.chance(self.parameters["share"]):
            return None
        if not self.sending.acquire(blocking=False):
            return "too many"
        threading.Thread(target=self.send, daemon=True, name="mail").start()
        return "sent soon"

    def held(self) -> int:
        """Return how many threads are held."""
        return sum(one.name == "mail" for one in threading.enumerate())
