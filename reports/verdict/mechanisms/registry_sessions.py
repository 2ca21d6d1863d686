"""A table of sessions gets an entry at each login, and the logout that would remove it is called by few clients."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "registry"
KIND = "plain"
REQUESTS = ("GET /login?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /login"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one login in up to 300 stays."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the entries left per login."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Logs users in."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.sessions: dict[str, dict[str, Any]] = {}

    async def answer(self, request: hosts.Request) -> str | None:
        """Log in; most clients log out at once."""
        if request.path != "/login":
            return None
        token = f"{self.random.getrandbits(64):016x}"
        self.sessions[token] = {"user": request.n, "since": self.requests}
        if not self.chance(self.parameters["rate"]):
            del self.sessions[token]
        return token
