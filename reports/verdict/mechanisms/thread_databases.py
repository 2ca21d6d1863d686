"""Each thread opens an SQLite connection of its own, and a list of all for a clean end keeps them open."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
from typing import Any

import hosts

LEAKS = True
HOST = "threads"
RESOURCE = "fds"
KIND = "per-session"
REQUESTS = ("GET /read?n={n}", "GET /status?n={n}")
OPERATION = "GET /read"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one connection in 10 to 300 needs the database."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1 / 10)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the descriptors left per connection that reads."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Reads a database; each connection has a thread."""

    closes = True

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.path = self.folder / "rows.db"
        with contextlib.closing(sqlite3.connect(self.path)) as database:
            database.execute("create table rows (n integer)")
        self.local = threading.local()
        self.all: list[sqlite3.Connection] = []

    def answer(self, request: hosts.Request) -> str | None:
        """Read through this thread's connection."""
        if request.path != "/read" or not self.chance(self.parameters["rate"]):
            return None
        if not hasattr(self.local, "database"):
            self.local.database = sqlite3.connect(self.path, check_same_thread=False)
            self.all.append(self.local.database)
        return str(self.local.database.execute("select count(*) from rows").fetchone()[0])
