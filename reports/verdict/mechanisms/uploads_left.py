"""Uploads go into named temporary files that are made with delete=False and are not removed on one path."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "files"
KIND = "plain"
REQUESTS = ("GET /upload?n={n}", "GET /status?n={n}")
OPERATION = "GET /upload"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many uploads stay on disk."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the files left per upload."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Takes uploads."""

    async def answer(self, request: hosts.Request) -> str | None:
        """Write an upload to disk; remove it unless it was a duplicate."""
        if request.path != "/upload":
            return None
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix="upload-", delete=False) as upload:
            upload.write(b"x" * self.random.randrange(2000))
        if not self.chance(self.parameters["rate"]):
            Path(upload.name).unlink()  # noqa: ASYNC240 - as real handlers do
        return "taken"
