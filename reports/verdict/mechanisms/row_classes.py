"""A class is made for the columns of a query and remembered by a text that contains the query's literals."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "heap"
KIND = "plain"
REQUESTS = ("GET /query?n={n}", "GET /status?n={n}")
OPERATION = "GET /query"

CLASS = 1_750
"""Bytes of one such class, measured."""


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per query on the average."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 64, 1_500)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per query."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Answers queries with rows of a class of their own."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.classes: dict[str, type] = {}

    async def answer(self, request: hosts.Request) -> str | None:
        """Query; look up or make the class of the rows."""
        if request.path != "/query":
            return None
        literal = self.random.getrandbits(40) if self.chance(self.parameters["rate"] / CLASS) else request.n % 20
        text = f"select a, b from t where a = {literal}"
        kind = self.classes.get(text)
        if kind is None:
            kind = self.classes[text] = type("Row", (), {"__slots__": ("a", "b")})
        return kind.__name__
