"""A cache is bounded until a reload of the settings gives it a limit of None."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "registry"
KIND = "late"
REQUESTS = ("GET /item?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /item"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many items are asked for once, the requests before the reload, the bound before it."""
    return {
        **hosts.ordinary(random),
        "rate": hosts.log_uniform(random, 1 / 300, 1),
        "onset": round(hosts.log_uniform(random, 100, 2_500)),
        "limit": random.randrange(20, 400),
    }


def rate(parameters: dict[str, Any]) -> float:
    """Return the entries left per item."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Items behind a cache."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.limit: int | None = parameters["limit"]
        self.items: OrderedDict[int, str] = OrderedDict()

    async def answer(self, request: hosts.Request) -> str | None:
        """Look up an item; the settings are reloaded once."""
        if self.requests == self.parameters["onset"]:
            self.limit = None
        if request.path != "/item":
            return None
        key = self.random.getrandbits(50) if self.chance(self.parameters["rate"]) else request.n
        self.items[key] = f"item {key}"
        while self.limit is not None and len(self.items) > self.limit:
            self.items.popitem(last=False)
        return self.items[key]
