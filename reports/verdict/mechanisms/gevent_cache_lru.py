"""Views are cached by user and page, and the cache drops the oldest when it is full."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import Any

import hosts

LEAKS = False
HOST = "gevent"
RESOURCE = "registry"
KIND = "cache"
REQUESTS = ("GET /view?n={n}", "GET /list?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: full after 200 to 50,000 misses; views of up to 100 to 3,000 characters."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 200, 50_000)),
        "size": round(hosts.log_uniform(random, 50, 1500)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Shows views."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.views: OrderedDict[tuple[int, int], str] = OrderedDict()

    def view(self, user: int, page: int) -> str:
        """Return a view, and remember it."""
        text = self.views.pop((user, page), None)
        if text is None:
            text = f"{user} {page} " + "v" * self.random.randrange(2 * self.parameters["size"])
        self.views[user, page] = text
        if len(self.views) > self.parameters["bound"]:
            self.views.popitem(last=False)
        return text[:80]

    def answer(self, request: hosts.Request) -> str | None:
        """Show one view, or a list of three."""
        if request.path == "/health":
            return None
        pages = range(3 if request.path == "/list" else 1)
        return "\n".join(self.view(self.random.randrange(self.parameters["bound"]), page) for page in pages)

    def held(self) -> int:
        """Return how many views are held."""
        return len(self.views)
