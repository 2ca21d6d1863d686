"""Parsed documents are kept under a lock; the ones used longest ago go when there are too many."""

from __future__ import annotations

import random
import threading
from collections import OrderedDict
from typing import Any

import hosts

LEAKS = False
HOST = "threads"
RESOURCE = "registry"
KIND = "cache"
REQUESTS = ("GET /document?n={n}", "GET /search?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: full after 100 to 40,000 misses; documents of 1 to 40 words."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 100, 40_000)),
        "words": round(hosts.log_uniform(random, 1, 40)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Parses documents."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.lock = threading.Lock()
        self.parsed: OrderedDict[int, list[str]] = OrderedDict()

    def parse(self, number: int) -> list[str]:
        """Return the words of a document."""
        with self.lock:
            if number in self.parsed:
                self.parsed.move_to_end(number)
                return self.parsed[number]
        words = [f"{number} {word}" for word in range(self.random.randrange(1, 2 * self.parameters["words"] + 1))]
        with self.lock:
            self.parsed[number] = words
            while len(self.parsed) > self.parameters["bound"]:
                self.parsed.popitem(last=False)
        return words

    def answer(self, request: hosts.Request) -> str | None:
        """Parse one document, or the three that a search finds."""
        if request.path == "/health":
            return None
        numbers = range(3 if request.path == "/search" else 1)
        return str(sum(len(self.parse(self.random.randrange(5 * self.parameters["bound"]))) for _ in numbers))

    def held(self) -> int:
        """Return how many documents are held."""
        return len(self.parsed)
