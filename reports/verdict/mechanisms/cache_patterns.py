"""Filters of users become regular expressions; when the program's table of them is full, all are forgotten."""

from __future__ import annotations

import random
import re
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "cache"
REQUESTS = ("GET /filter?n={n}", "GET /match?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: the program's own table has 50 to 5,000 patterns."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 50, 5000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Filters by patterns."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.compiled: dict[str, re.Pattern[str]] = {}

    async def answer(self, request: hosts.Request) -> str | None:
        """Match a text against a filter; /match compiles it through re alone."""
        text = f"user{self.random.randrange(20_000)}"
        if request.path == "/match":
            return str(bool(re.match(f"{text}[a-z]?$", text)))
        pattern = self.compiled.get(text)
        if pattern is None:
            if len(self.compiled) >= self.parameters["bound"]:
                self.compiled.clear()
            pattern = self.compiled[text] = re.compile(f"{text}.$")
        return str(bool(pattern.match(text)))

    def held(self) -> int:
        """Return how many patterns are held."""
        return len(self.compiled)
