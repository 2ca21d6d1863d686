"""Each user has a state with the last pages seen; the states of the users seen longest ago are dropped."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "cache"
REQUESTS = ("GET /visit?n={n}", "GET /checkout?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 500 to 40,000 users are kept, each with 20 pages at most."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 500, 40_000)),
        "users": round(hosts.log_uniform(random, 60_000, 2_000_000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Follows users."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.states: OrderedDict[int, dict[str, Any]] = OrderedDict()

    async def answer(self, request: hosts.Request) -> str | None:
        """Note a visit; a checkout ends the user's state."""
        if request.path == "/health":
            return None
        user = self.random.randrange(self.parameters["users"])
        if request.path == "/checkout":
            self.states.pop(user, None)
            return "bought"
        state = self.states.setdefault(user, {"visits": 0, "pages": deque(maxlen=20)})
        state["visits"] += 1
        state["pages"].append(request.n)
        self.states.move_to_end(user)
        while len(self.states) > self.parameters["bound"]:
            self.states.popitem(last=False)
        return str(state["visits"])

    def held(self) -> int:
        """Return how many users are held."""
        return len(self.states)
