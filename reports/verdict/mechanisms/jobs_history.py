"""A history of jobs keeps each Popen, and nobody waits for them or asks whether they ended."""

from __future__ import annotations

import random
import subprocess
from typing import Any

import hosts

LEAKS = True
HOST = "threads"
RESOURCE = "zombies"
KIND = "rare"
REQUESTS = ("GET /build?n={n}", "GET /status?n={n}")
OPERATION = "GET /build"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one build in 100 to 500 starts a program."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 500, 1 / 100)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the zombies per build."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Builds, some with another program."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.jobs: list[subprocess.Popen[bytes]] = []

    def answer(self, request: hosts.Request) -> str | None:
        """Build."""
        if request.path == "/build" and self.chance(self.parameters["rate"]):
            self.jobs.append(subprocess.Popen(["true"]))
        return str(len(self.jobs))
