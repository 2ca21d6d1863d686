"""A database with a write-ahead log that is checkpointed by itself: rows are replaced, the log is used again."""

from __future__ import annotations

import random
import sqlite3
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "files"
KIND = "sawtooth"
REQUESTS = ("GET /set?n={n}", "GET /get?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: 200 to 60,000 rows of 20 to 1,200 bytes; a checkpoint after 10 to 3,000 pages."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 200, 60_000)),
        "size": round(hosts.log_uniform(random, 20, 1200)),
        "pages": round(hosts.log_uniform(random, 10, 3000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Keeps values in a database."""

    def start(self) -> None:
        """Open the database."""
        self.base = sqlite3.connect(self.folder / "values.db", isolation_level=None)
        self.base.execute("pragma journal_mode = wal")
        self.base.execute("pragma synchronous = off")
        self.base.execute(f"pragma wal_autocheckpoint = {self.parameters['pages']:d}")
        self.base.execute("create table entry (key integer primary key, value text)")

    async def answer(self, request: hosts.Request) -> str | None:
        """Set or get the value of a key."""
        if request.path == "/health":
            return None
        key = self.random.randrange(self.parameters["bound"])
        if request.path == "/set":
            value = "v" * self.random.randrange(2 * self.parameters["size"])
            self.base.execute("insert or replace into entry values (?, ?)", (key, value))
            return None
        row = self.base.execute("select value from entry where key = ?", (key,)).fetchone()
        return row[0][:100] if row else "none"

    def held(self) -> int:
        """Return how many rows are held."""
        return self.base.execute("select count(*) from entry").fetchone()[0]
