"""A draft registers a function with atexit that would save it, and with that keeps its text."""

from __future__ import annotations

import atexit
import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "heap"
KIND = "rare"
REQUESTS = ("GET /draft?n={n}", "GET /status?n={n}")
OPERATION = "GET /draft"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per draft on the average, and per kept draft."""
    return {**hosts.ordinary(random), **hosts.bytes_kept(random, 128, 16_384)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per draft."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Keeps drafts."""

    def save(self, text: str) -> None:
        """Save a draft at the end of the program."""
        (self.folder / "drafts").write_text(text, encoding="utf-8")

    async def answer(self, request: hosts.Request) -> str | None:
        """Take a draft; an unsaved one is to be saved at the end."""
        if request.path != "/draft":
            return None
        text = "d" * self.parameters["size"]
        if self.chance(self.parameters["rate"] / self.parameters["size"]):
            atexit.register(self.save, text)
        return text[:20]
