"""A timer notes who is connected, starts itself anew, and keeps each note."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import hosts

LEAKS = True
HOST = "threads"
RESOURCE = "registry"
KIND = "time-driven"
REQUESTS = ("GET /work?n={n}", "GET /status?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: notes per second."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 0.5, 20)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the notes per second."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Takes notes in the background."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.notes: list[tuple[float, int]] = []

    def start(self) -> None:
        """Start the timer."""
        timer = threading.Timer(1 / self.parameters["rate"], self.note)
        timer.daemon = True
        timer.start()

    def note(self) -> None:
        """Take a note and start the next timer."""
        self.notes.append((time.monotonic(), self.requests))
        self.start()

    def answer(self, request: hosts.Request) -> str | None:
        """Show the last notes."""
        return str(len(self.notes[-60:])) if request.path == "/status" else None
