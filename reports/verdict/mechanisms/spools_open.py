"""Large answers are spooled to unnamed temporary files, and a table of downloads keeps those that were cut off."""

from __future__ import annotations

import random
import tempfile
from typing import IO, Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "fds"
KIND = "plain"
REQUESTS = ("GET /download?n={n}", "GET /status?n={n}")
OPERATION = "GET /download"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many downloads are cut off."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1 / 2)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the open files per download."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Sends downloads."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.downloads: list[IO[bytes]] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Spool a download."""
        if request.path != "/download":
            return None
        spool = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 - it outlives the request
        spool.write(b"d" * self.random.randrange(3000))
        if self.chance(self.parameters["rate"]):
            self.downloads.append(spool)
        else:
            spool.close()
        return "sent"
