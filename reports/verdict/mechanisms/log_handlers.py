"""Each session with tracing adds a handler to the logger and never removes it."""

from __future__ import annotations

import logging
import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "registry"
KIND = "per-session"
REQUESTS = ("GET /trace?n={n}", "GET /status?n={n}")
OPERATION = "GET /trace"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one session in 20 to 300 keeps its handler."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1 / 20)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the handlers left per traced session."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Traces sessions through the logging module; a session is one connection."""

    closes = True

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.logger = logging.getLogger("trace")
        self.logger.propagate = False
        self.logger.setLevel(logging.INFO)
        self.logger.addHandler(logging.NullHandler())

    async def answer(self, request: hosts.Request) -> str | None:
        """Trace a session."""
        if request.path == "/trace" and self.chance(self.parameters["rate"]):
            handler = logging.NullHandler()
            handler.setFormatter(logging.Formatter(f"session {request.session.number} %(message)s"))
            self.logger.addHandler(handler)
        self.logger.info("request %d", request.n)
        return None
