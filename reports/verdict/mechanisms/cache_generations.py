"""A cache of two generations: when the young one is full it becomes the old one, and the old one goes."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "sawtooth"
REQUESTS = ("GET /profile?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: a generation has 100 to 30,000 entries."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 100, 30_000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Loads profiles."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.young: dict[int, dict[str, Any]] = {}
        self.old: dict[int, dict[str, Any]] = {}
        self.generation = 0

    async def answer(self, request: hosts.Request) -> str | None:
        """Return a profile: found in the old generation, it moves to the young one."""
        if request.path != "/profile":
            return None
        user = self.random.randrange(20 * self.parameters["bound"])
        profile = (
            self.young.get(user)
            or self.old.get(user)
            or {"user": user, "tags": [str(user + more) for more in range(6)]}
        )
        self.young[user] = profile
        if len(self.young) >= self.parameters["bound"]:
            self.old, self.young, self.generation = self.young, {}, self.generation + 1
        return f"{self.generation} {profile['tags'][0]}"

    def held(self) -> int:
        """Return how many profiles are held."""
        return len(self.young) + len(self.old)
