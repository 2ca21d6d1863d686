"""A report gets an SQLite database in memory of its own, and the list of reports keeps the connection."""

from __future__ import annotations

import random
import sqlite3
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "native"
KIND = "rare"
REQUESTS = ("GET /report?n={n}", "GET /status?n={n}")
OPERATION = "GET /report"

PIECE = 43_300
"""Bytes of one such database, measured."""


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per report on the average."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 512, 16_384)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per report."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Reports, computed in databases in memory."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.reports: list[sqlite3.Connection] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Compute a report; some stay open."""
        if request.path != "/report":
            return None
        if not self.chance(self.parameters["rate"] / PIECE):
            return str(sum(range(request.n)))
        database = sqlite3.connect(":memory:")
        database.execute("create table numbers (n integer, note text)")
        database.executemany("insert into numbers values (?, ?)", [(n, "note") for n in range(200)])
        self.reports.append(database)
        return str(database.execute("select sum(n) from numbers where n < ?", (request.n,)).fetchone()[0])
