"""A chat room keeps as many messages as its limit says."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "ring"
REQUESTS = ("GET /say?n={n}", "GET /read?n={n}")
OPERATION = None


class Room:
    """Messages, the newest last, never more than its limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.messages: list[str] = []

    def say(self, message: str) -> None:
        """Add a message; the oldest goes if the room is full."""
        self.messages.append(message)
        if len(self.messages) > self.limit:
            self.messages.pop(0)


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: the room is full after 200 to 60,000 messages of up to 40 to 2,000 characters."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 200, 60_000)),
        "size": round(hosts.log_uniform(random, 40, 800)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Hosts one chat room."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.room = Room(parameters["bound"])

    async def answer(self, request: hosts.Request) -> str | None:
        """Say something, or read the newest messages."""
        if request.path == "/say":
            self.room.say(f"{request.n}: " + "m" * self.random.randrange(self.parameters["size"]))
            return None
        return "\n".join(message[:20] for message in self.room.messages[-5:])

    def held(self) -> int:
        """Return how many messages are held."""
        return len(self.room.messages)
