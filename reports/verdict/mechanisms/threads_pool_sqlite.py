"""Connections to a database are taken from a pool, opened when none is free, and closed by a thread when idle."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import threading
import time
from typing import Any

import hosts

LEAKS = False
HOST = "threads"
RESOURCE = "fds"
KIND = "pool"
REQUESTS = ("GET /write?n={n}", "GET /read?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: up to 2 to 30 connections at once, closed after 0.3 to 6 s idle; 100 to 20,000 rows."""
    return {
        **hosts.ordinary(random),
        "wide": round(hosts.log_uniform(random, 2, 30)),
        "seconds": hosts.log_uniform(random, 0.3, 6),
        "bound": round(hosts.log_uniform(random, 100, 20_000)),
        "share": hosts.log_uniform(random, 0.03, 0.5),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Keeps rows in a database."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.lock = threading.Lock()
        self.free: list[tuple[float, sqlite3.Connection]] = []

    def start(self) -> None:
        """Make the database, and begin to close idle connections."""
        with contextlib.closing(self.connect()) as base:
            base.execute("pragma journal_mode = wal")
            base.execute("create table entry (key integer primary key, value text)")
        threading.Thread(target=self.sweep, daemon=True).start()

    def connect(self) -> sqlite3.Connection:
        """Open a connection that may go from thread to thread."""
        base = sqlite3.connect(self.folder / "rows.db", isolation_level=None, check_same_thread=False, timeout=60)
        base.execute("pragma synchronous = off")
        return base

    def sweep(self) -> None:
        """Close what was idle too long, again and again."""
        while True:
            time.sleep(0.2)
            with self.lock:
                while self.free and self.free[0][0] < time.monotonic() - self.parameters["seconds"]:
                    self.free.pop(0)[1].close()

    def take(self) -> sqlite3.Connection:
        """Return a free connection or a new one."""
        with self.lock:
            if self.free:
                return self.free.pop()[1]
        return self.connect()

    def answer(self, request: hosts.Request) -> str | None:
        """Write a row, or read some, each through a connection of its own."""
        if request.path == "/health" or not self.chance(self.parameters["share"]):
            return None
        wide = min(int(self.random.paretovariate(1)), self.parameters["wide"]) if request.path == "/read" else 1
        taken = [self.take() for _ in range(wide)]
        for base in taken:
            key = self.random.randrange(self.parameters["bound"])
            if request.path == "/write":
                base.execute("insert or replace into entry values (?, ?)", (key, "v" * self.random.randrange(300)))
            else:
                base.execute("select value from entry where key = ?", (key,)).fetchone()
        with self.lock:
            self.free.extend((time.monotonic(), base) for base in taken)
        return str(wide)

    def held(self) -> int:
        """Return how many connections are held."""
        return len(self.free)
