"""Answers are kept with the time at which they expire, and a timer sweeps the expired ones out."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "registry"
KIND = "ttl"
REQUESTS = ("GET /question?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: answers live for 1 to 20 s and are swept every 0.2 to 5 s."""
    return {
        **hosts.ordinary(random),
        "seconds": hosts.log_uniform(random, 1, 20),
        "every": hosts.log_uniform(random, 0.2, 5),
        "size": round(hosts.log_uniform(random, 40, 2000)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Answers questions."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.answers: dict[int, tuple[float, str]] = {}

    def start(self) -> None:
        """Begin the timer."""
        self.sweeper = asyncio.create_task(self.sweep())

    async def sweep(self) -> None:
        """Remove what has expired, again and again."""
        while True:
            await asyncio.sleep(self.parameters["every"])
            now = time.monotonic()
            for question in [question for question, (expires, _) in self.answers.items() if expires < now]:
                del self.answers[question]

    async def answer(self, request: hosts.Request) -> str | None:
        """Answer a question and keep the answer for a while."""
        if request.path != "/question":
            return None
        question = self.random.randrange(1_000_000)
        text = f"{question} " + "a" * self.random.randrange(2 * self.parameters["size"])
        self.answers[question] = (time.monotonic() + self.parameters["seconds"], text)
        return text[:100]

    def held(self) -> int:
        """Return how many answers are held."""
        return len(self.answers)
