"""A request opens an SQLite file and remembers the connection for a transaction that is never ended."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "fds"
KIND = "rare"
REQUESTS = ("GET /order?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /order"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one order in 10 to 300 keeps its connection."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1 / 10)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the descriptors left per order."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Orders, kept in an SQLite file."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.path = self.folder / "orders.db"
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            database.execute("create table orders (n integer)")
        self.open: dict[int, sqlite3.Connection] = {}

    async def answer(self, request: hosts.Request) -> str | None:
        """Count the orders; a connection with a transaction stays."""
        if request.path != "/order" or not self.chance(self.parameters["rate"]):
            return None
        database = self.open[self.requests] = sqlite3.connect(self.path)
        return str(database.execute("select count(*) from orders").fetchone()[0])
