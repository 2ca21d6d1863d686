"""Clients of the live view are put on a list when they connect and taken off only when they say goodbye."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "registry"
KIND = "per-session"
REQUESTS = ("GET /live?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /live"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many sessions end without a goodbye."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the clients left per live session."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """A live view; a session is one connection."""

    closes = True

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.clients: list[tuple[hosts.Session, deque[str]]] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Add the client of a live view, and greet it."""
        if request.path != "/live":
            return f"{len(self.clients)} live"
        client = (request.session, deque(("hello",), maxlen=20))
        self.clients.append(client)
        if not self.chance(self.parameters["rate"]):
            request.session.state["goodbye"] = client
        return client[1][0]

    def closed(self, session: hosts.Session) -> None:
        """Take off a client that said goodbye."""
        client = session.state.pop("goodbye", None)
        if client is not None:
            self.clients.remove(client)
