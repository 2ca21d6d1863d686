"""Idle sessions are ended by a greenlet that looks at all of them again and again."""

from __future__ import annotations

import random
import time
from typing import Any

import gevent
import hosts

LEAKS = False
HOST = "gevent"
RESOURCE = "registry"
KIND = "ttl"
REQUESTS = ("GET /login?n={n}", "GET /page?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: sessions end after 1 to 10 s idle; 100 to 3,000 bytes each."""
    return {
        **hosts.ordinary(random),
        "seconds": hosts.log_uniform(random, 1, 10),
        "size": round(hosts.log_uniform(random, 100, 3000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Keeps sessions."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.sessions: dict[str, dict[str, Any]] = {}

    def start(self) -> None:
        """Begin to look."""
        gevent.spawn(self.sweep)

    def sweep(self) -> None:
        """End what is idle, again and again."""
        while True:
            gevent.sleep(0.4)
            oldest = time.monotonic() - self.parameters["seconds"]
            for token in [token for token, session in self.sessions.items() if session["used"] < oldest]:
                del self.sessions[token]

    def answer(self, request: hosts.Request) -> str | None:
        """Log in, or use the session of this connection's last login."""
        token = request.session.state.get("token")
        if request.path == "/login":
            token = request.session.state["token"] = f"{self.random.getrandbits(96):024x}"
            self.sessions[token] = {"user": request.n, "data": bytes(self.parameters["size"]), "used": time.monotonic()}
        elif request.path == "/page" and token in self.sessions:
            self.sessions[token]["used"] = time.monotonic()
        return token

    def held(self) -> int:
        """Return how many sessions are held."""
        return len(self.sessions)
