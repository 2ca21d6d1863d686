"""Lines of a journal wait in a buffer that is written when it is full, to a file that begins anew when it is long."""

from __future__ import annotations

import io
import random
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "heap"
KIND = "log"
REQUESTS = ("GET /change?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: a buffer of 4 KiB to 16 MiB, lines of 40 to 1,500 bytes."""
    return {
        **hosts.ordinary(random),
        "bound": round(hosts.log_uniform(random, 4 * 1024, 16 * 1024 * 1024)),
        "size": round(hosts.log_uniform(random, 40, 1500)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Keeps a journal."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.lines = io.BytesIO()

    def start(self) -> None:
        """Open the journal."""
        self.journal = (self.folder / "journal").open("wb")

    async def answer(self, request: hosts.Request) -> str | None:
        """Note a change."""
        if request.path != "/change":
            return None
        self.lines.write(b"%d " % request.n + b"c" * self.random.randrange(2 * self.parameters["size"]) + b"\n")
        if self.lines.tell() >= self.parameters["bound"]:
            self.journal.write(self.lines.getvalue())
            self.lines = io.BytesIO()
            if self.journal.tell() > 4 * self.parameters["bound"]:
                self.journal.seek(0)
                self.journal.truncate()
        return "noted"

    def held(self) -> int:
        """Return how many bytes are held."""
        return self.lines.tell()
