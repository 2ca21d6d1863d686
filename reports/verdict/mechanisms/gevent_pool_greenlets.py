"""Subrequests are done by a pool of greenlets with a size; a request waits when all are at work."""

from __future__ import annotations

import random
from typing import Any

import gevent
import gevent.pool
import hosts

LEAKS = False
HOST = "gevent"
RESOURCE = "tasks"
KIND = "pool"
REQUESTS = ("GET /fetch?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 2 to 300 greenlets, parts of 1 to 60 ms that nobody waits for."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 2, 300)),
        "seconds": hosts.log_uniform(random, 0.001, 0.06),
        "share": hosts.log_uniform(random, 0.02, 0.3),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Fetches in the background."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.pool = gevent.pool.Pool(parameters["bound"])
        self.fetched = 0

    def fetch(self, number: int) -> None:
        """Fetch one part."""
        gevent.sleep(self.random.random() * self.parameters["seconds"])
        self.fetched += number

    def answer(self, request: hosts.Request) -> str | None:
        """Begin to fetch one or more parts."""
        if request.path != "/fetch" or not self.chance(self.parameters["share"]):
            return None
        for part in range(min(int(self.random.paretovariate(1)), 50)):
            self.pool.spawn(self.fetch, part)
        return str(self.fetched)

    def held(self) -> int:
        """Return how many greenlets are held."""
        return len(self.pool)
