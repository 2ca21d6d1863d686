"""A job is started with posix_spawn and its end is never waited for."""

from __future__ import annotations

import os
import random
import shutil
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "zombies"
KIND = "rare"
REQUESTS = ("GET /convert?n={n}", "GET /status?n={n}")
OPERATION = "GET /convert"

TRUE = shutil.which("true") or "/bin/true"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one conversion in 100 to 500 starts a job."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 500, 1 / 100)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the zombies per conversion."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Converts documents, some of them with a helper program."""

    async def answer(self, request: hosts.Request) -> str | None:
        """Start a job for a document that needs one."""
        if request.path == "/convert" and self.chance(self.parameters["rate"]):
            os.posix_spawn(TRUE, [TRUE, str(request.n)], {})  # noqa: ASYNC221 - as real handlers do
        return None
