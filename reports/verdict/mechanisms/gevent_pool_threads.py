"""Blocking calls go to the hub's pool of real threads, which begins them as they are needed."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import gevent
import gevent.monkey
import hosts

LEAKS = False
HOST = "gevent"
RESOURCE = "threads"
KIND = "pool"
REQUESTS = ("GET /hash?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: calls of 0.2 to 5 ms, one at a time or, seldom, up to 20 at once; the pool has 10 threads."""
    return {
        **hosts.ordinary(random),
        "seconds": hosts.log_uniform(random, 0.0002, 0.005),
        "share": hosts.log_uniform(random, 0.02, 0.4),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Calls what blocks."""

    def block(self, number: int) -> str:
        """Block for a while in a real thread."""
        self.really_sleep(self.parameters["seconds"])
        return hashlib.sha256(b"%d" % number).hexdigest()

    def start(self) -> None:
        """Get the sleep that gevent did not replace."""
        self.really_sleep = gevent.monkey.get_original("time", "sleep")
        self.pool = gevent.get_hub().threadpool

    def answer(self, request: hosts.Request) -> str | None:
        """Have one hash made, or some at once."""
        if request.path != "/hash" or not self.chance(self.parameters["share"]):
            return None
        together = min(int(self.random.paretovariate(0.9)), 20)
        asked = [self.pool.spawn(self.block, request.n + more) for more in range(together)]
        gevent.wait(asked)
        return asked[0].get()

    def held(self) -> int:
        """Return how many threads are held."""
        return self.pool.size
