"""Each session sets a timer for its idle timeout of a day and does not cancel it when it ends."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "registry"
KIND = "per-session"
REQUESTS = ("GET /open?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /open"

DAY = 86_400.0


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many sessions leave their timer."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the timers left per session."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Sessions with an idle timeout; a session is one connection."""

    closes = True

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.expired = 0

    def expire(self, session: hosts.Session) -> None:
        """End a session that did nothing for a day."""
        self.expired += session.requests

    async def answer(self, request: hosts.Request) -> str | None:
        """Open a session; most are remembered to be ended well."""
        if request.path != "/open":
            return None
        timer = asyncio.get_running_loop().call_later(DAY, self.expire, request.session)
        if not self.chance(self.parameters["rate"]):
            request.session.state["timer"] = timer
        return "open"

    def closed(self, session: hosts.Session) -> None:
        """Cancel the timer that the session knows of."""
        if "timer" in session.state:
            session.state.pop("timer").cancel()

    def held(self) -> int:
        """Return the timers that were not cancelled."""
        loop: Any = asyncio.get_running_loop()
        return sum(not timer.cancelled() for timer in loop._scheduled)  # noqa: SLF001 - nothing public counts them
