"""A price calculation is wrapped in functools.lru_cache with a size."""

from __future__ import annotations

import functools
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "cache"
REQUESTS = ("GET /price?n={n}", "GET /basket?n={n}", "GET /health?n={n}")
OPERATION = None


def priced(article: int, customer: int) -> dict[str, Any]:
    """Return the price of an article with its parts."""
    parts = [round(article * 0.01 * share, 2) for share in range(1, 4 + article % 5)]
    return {"article": article, "customer": customer, "parts": parts, "total": sum(parts)}


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: the cache is full after 100 to 40,000 misses."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 100, 40_000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Calculates prices."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.price = functools.lru_cache(maxsize=parameters["bound"])(priced)

    async def answer(self, request: hosts.Request) -> str | None:
        """Price one article, or a basket of five."""
        if request.path == "/health":
            return None
        articles = 5 if request.path == "/basket" else 1
        key = self.random.randrange(6 * self.parameters["bound"])
        return str([self.price(key + more, request.n % 7)["total"] for more in range(articles)])

    def held(self) -> int:
        """Return how many prices are held."""
        return self.price.cache_info().currsize
