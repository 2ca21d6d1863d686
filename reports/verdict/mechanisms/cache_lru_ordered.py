"""Rendered pages are kept in an OrderedDict that drops the page used longest ago when it is full."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "cache"
REQUESTS = ("GET /render?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: the cache is full after 200 to 60,000 misses; one request in ten hits."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 200, 60_000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Renders pages."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.max_items = parameters["bound"]
        self.rendered: OrderedDict[int, str] = OrderedDict()

    async def answer(self, request: hosts.Request) -> str | None:
        """Return a page, from the cache if it is there."""
        if request.path != "/render":
            return None
        page = self.random.randrange(10 * self.max_items)
        if page in self.rendered:
            self.rendered.move_to_end(page)
        else:
            self.rendered[page] = f"<p>{page}</p>" * self.random.randrange(1, 30)
            if len(self.rendered) > self.max_items:
                self.rendered.popitem(last=False)
        return self.rendered[page][:200]

    def held(self) -> int:
        """Return how many pages are held."""
        return len(self.rendered)
