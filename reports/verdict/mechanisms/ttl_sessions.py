"""Sessions that were idle for some seconds are ended by a timer, and most clients never log out."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "ttl"
REQUESTS = ("GET /login?n={n}", "GET /page?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters.

    Idle sessions end after 1 to 10 s; 1 to 60 % of the requests for a page touch an old session.
    """
    return {
        **hosts.ordinary(random),
        "seconds": hosts.log_uniform(random, 1, 10),
        "touching": hosts.log_uniform(random, 0.01, 0.6),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Keeps sessions while they are used."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.sessions: dict[str, dict[str, Any]] = {}

    def start(self) -> None:
        """Begin the timer."""
        self.sweeper = asyncio.create_task(self.sweep())

    async def sweep(self) -> None:
        """End idle sessions, again and again; a touched one stands at the end."""
        while True:
            await asyncio.sleep(0.5)
            oldest = time.monotonic() - self.parameters["seconds"]
            for token, session in list(self.sessions.items()):
                if session["used"] >= oldest:
                    break
                del self.sessions[token]

    async def answer(self, request: hosts.Request) -> str | None:
        """Log in, or show a page of the newest session."""
        if request.path == "/login":
            token = f"{self.random.getrandbits(96):024x}"
            self.sessions[token] = {"user": request.n, "used": time.monotonic(), "basket": []}
            return token
        if request.path == "/page" and self.sessions and self.chance(self.parameters["touching"]):
            token, session = self.sessions.popitem()
            session["used"] = time.monotonic()
            session["basket"] = [*session["basket"], request.n][-5:]
            self.sessions[token] = session
        return None

    def held(self) -> int:
        """Return how many sessions are held."""
        return len(self.sessions)
