"""Children are started and not waited for, and the next request asks all of them whether they have ended."""

from __future__ import annotations

import os
import random
import subprocess
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "zombies"
KIND = "sawtooth"
REQUESTS = ("GET /notify?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one request in 20 to 300 starts a child."""
    return {
        **hosts.ordinary(random),
        "share": hosts.log_uniform(random, 0.0033, 0.05),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Notifies by a program."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.children: list[subprocess.Popen[bytes]] = []

    def notify(self) -> None:
        """Start a child and leave it to the next request."""
        self.children.append(subprocess.Popen(["true"], env={"PATH": os.defpath}))

    async def answer(self, request: hosts.Request) -> str | None:
        """Notify somebody."""
        if request.path == "/notify":
            self.children = [child for child in self.children if child.poll() is None]
            if self.chance(self.parameters["share"]):
                self.notify()
        return None

    def held(self) -> int:
        """Return how many children are held."""
        return len(self.children)
