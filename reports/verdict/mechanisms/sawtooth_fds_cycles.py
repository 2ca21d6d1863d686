"""An upload holds its file and a callback that holds the upload: only the collector closes such files."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "fds"
KIND = "sawtooth"
REQUESTS = ("GET /upload?n={n}", "GET /health?n={n}")
OPERATION = None


class Upload:
    """A file that is being written, and what is called when it is whole."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")
        self.whole = self.publish

    def publish(self) -> None:
        """Close the file."""
        self.file.close()


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one upload in 1 to 50 requests leaves its file to the collector."""
    return {
        **hosts.ordinary(random),
        "share": hosts.log_uniform(random, 0.02, 1),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Takes uploads."""

    async def answer(self, request: hosts.Request) -> str | None:
        """Take an upload; most are closed at their end."""
        if request.path != "/upload":
            return None
        upload = Upload(self.folder / "upload.part")
        upload.file.write(bytes(request.n))
        if not self.chance(self.parameters["share"]):
            upload.file.close()
        return "taken"
