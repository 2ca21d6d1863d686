"""Each version of the settings knows the one before; after a change of code the oldest are no longer cut off."""

from __future__ import annotations

import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "heap"
KIND = "late"
REQUESTS = ("GET /settings?n={n}", "GET /status?n={n}")
OPERATION = "GET /settings"


class Version:
    """One version of the settings."""

    __slots__ = ("before", "text")

    def __init__(self, before: Version | None, text: str) -> None:
        self.before = before
        self.text = text


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes kept per change on the average, per version, and the requests before it begins."""
    return {
        **hosts.ordinary(random),
        **hosts.bytes_kept(random, 128, 16_384),
        "onset": round(hosts.log_uniform(random, 100, 2_500)),
    }


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes kept per change."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Settings with a history."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.version = Version(None, "")

    async def answer(self, request: hosts.Request) -> str | None:
        """Change the settings."""
        if request.path != "/settings":
            return None
        if self.chance(self.parameters["rate"] / self.parameters["size"]):
            before = self.version if self.requests > self.parameters["onset"] else None
            self.version = Version(before, "v" * self.parameters["size"])
        return str(len(self.version.text))
