"""A subscriber gets a queue when it connects, and only an orderly end takes the queue out of the list."""

from __future__ import annotations

import random
from typing import Any

import gevent.queue
import hosts

LEAKS = True
HOST = "gevent"
RESOURCE = "registry"
KIND = "per-session"
REQUESTS = ("GET /subscribe?n={n}", "GET /publish?n={n}", "GET /status?n={n}")
OPERATION = "GET /subscribe"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many sessions do not end in order."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1 / 2)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the queues left per subscriber."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Publishes to subscribers; a session is one connection."""

    closes = True

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.queues: list[gevent.queue.Queue[str]] = []

    def answer(self, request: hosts.Request) -> str | None:
        """Subscribe, or publish to the newest subscribers."""
        if request.path == "/subscribe":
            self.queues.append(own := gevent.queue.Queue())
            if not self.chance(self.parameters["rate"]):
                request.session.state["queue"] = own
        elif request.path == "/publish":
            for queue in self.queues[-3:]:
                if queue.qsize() < 2:
                    queue.put(f"news {request.n}")
        return None

    def closed(self, session: hosts.Session) -> None:
        """Take out the queue of a session that ended in order."""
        if "queue" in session.state:
            self.queues.remove(session.state["queue"])
