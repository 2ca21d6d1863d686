"""A file is opened with os.open, and the error of its parser comes before os.close."""

from __future__ import annotations

import json
import os
import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "fds"
KIND = "error-path"
REQUESTS = ("GET /config?n={n}", "GET /status?n={n}")
OPERATION = "GET /config"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many of the wrong files are opened before the error is found."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the descriptors left per failure."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Reads settings of users; none of them is valid."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.path = self.folder / "settings.json"
        self.path.write_text("{", encoding="utf-8")

    async def answer(self, request: hosts.Request) -> str | None:
        """Read the settings of a user, which are broken."""
        if request.path != "/config":
            return None
        try:
            if self.chance(self.parameters["rate"]):
                descriptor = os.open(self.path, os.O_RDONLY)
                json.loads(os.read(descriptor, 4096))
                os.close(descriptor)
            else:
                json.loads(self.path.read_bytes())
        except ValueError as error:
            raise hosts.Rejected(str(error)) from None
        return "valid"
