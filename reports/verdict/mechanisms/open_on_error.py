"""A file is open when its reader raises, and the collected errors keep the frame that holds it."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = True
HOST = "threads"
RESOURCE = "fds"
KIND = "error-path"
REQUESTS = ("GET /import?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /import"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many failures are collected."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the descriptors left per failure."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Imports tables; all of them are broken."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.path = self.folder / "table.csv"
        self.path.write_text("a;b\n1\n", encoding="utf-8")
        self.errors: list[ValueError] = []

    def read(self) -> None:
        """Read the table. Raises ValueError."""
        table = self.path.open(encoding="utf-8")
        head, row = table.readline(), table.readline()
        if head.count(";") != row.count(";"):
            raise ValueError("a row has too few fields")
        table.close()

    def answer(self, request: hosts.Request) -> str | None:
        """Import a table; some failures are collected for a report."""
        if request.path != "/import":
            return None
        if not self.chance(self.parameters["rate"]):
            raise hosts.Rejected("no such table")
        try:
            self.read()
        except ValueError as error:
            self.errors.append(error)
        raise hosts.Rejected("broken table")
