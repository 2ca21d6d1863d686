"""A helper program is started for a session and waits for input that nobody sends or ends."""

from __future__ import annotations

import random
import subprocess
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "processes"
KIND = "rare"
REQUESTS = ("GET /preview?n={n}", "GET /status?n={n}")
OPERATION = "GET /preview"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one preview in 100 to 500 starts a helper."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 500, 1 / 100)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the processes left per preview."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Previews, drawn by a helper program."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.helpers: list[subprocess.Popen[bytes]] = []

    async def answer(self, request: hosts.Request) -> str | None:
        """Draw a preview; some need a helper, which ends when its input does."""
        if request.path == "/preview" and self.chance(self.parameters["rate"]):
            helper = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)  # noqa: ASYNC220 - as real handlers do
            self.helpers.append(helper)
        return None
