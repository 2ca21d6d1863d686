"""Results are remembered for ever by the article that was asked for, and there is a fixed number of articles."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "cache"
REQUESTS = ("GET /article?n={n}", "GET /related?n={n}", "GET /stock?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters.

    500 to 5,000 articles (the load asks for a few of them, again and again), each remembered with 1 to 400 numbers.
    """
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 500, 5000)),
        "size": round(hosts.log_uniform(random, 1, 400)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Looks articles up."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.results: dict[tuple[str, int], list[float]] = {}

    async def answer(self, request: hosts.Request) -> str | None:
        """Return what is known of an article. Raises Rejected: there is no such article."""
        if not 0 < request.n <= self.parameters["bound"]:
            raise hosts.Rejected("no such article")
        if request.path == "/stock":
            return None
        key = (request.path, request.n)
        if key not in self.results:
            self.results[key] = [self.random.random() for _ in range(self.parameters["size"])]
        return str(sum(self.results[key]))

    def held(self) -> int:
        """Return how many results are held."""
        return len(self.results)
