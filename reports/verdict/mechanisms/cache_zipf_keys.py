"""Lookups of words are remembered for ever: few are asked for often, most seldom, all from one dictionary."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "cache"
REQUESTS = ("GET /word?n={n}", "GET /sentence?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters.

    A dictionary of 1,000 to 1,000,000 words, the chance of the k-th falling as 1/k: new ones come ever more slowly.
    """
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 1000, 1_000_000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Translates words."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.translated: dict[int, str] = {}

    def translate(self) -> str:
        """Return the translation of one word, as often drawn as texts use it."""
        rank = int(self.parameters["bound"] ** self.random.random())
        if rank not in self.translated:
            self.translated[rank] = f"word {rank} " + "abc" * self.random.randrange(20)
        return self.translated[rank]

    async def answer(self, request: hosts.Request) -> str | None:
        """Translate a word or a sentence."""
        if request.path == "/health":
            return None
        return " ".join(self.translate() for _ in range(6 if request.path == "/sentence" else 1))

    def held(self) -> int:
        """Return how many words are held."""
        return len(self.translated)
