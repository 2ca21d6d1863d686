"""Each session starts a thread that waits for its end, and a session that is cut off never says so."""

from __future__ import annotations

import random
import threading
from typing import Any

import hosts

LEAKS = True
HOST = "threads"
RESOURCE = "threads"
KIND = "per-session"
REQUESTS = ("GET /stream?n={n}", "GET /status?n={n}")
OPERATION = "GET /stream"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one session in 40 to 300 is cut off."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1 / 40)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the threads left per streaming session."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Streams; a session is one connection."""

    closes = True

    def answer(self, request: hosts.Request) -> str | None:
        """Begin to stream, with a watcher beside."""
        if request.path != "/stream":
            return None
        ended = threading.Event()
        threading.Thread(target=ended.wait, name="watcher", daemon=True).start()
        if not self.chance(self.parameters["rate"]):
            request.session.state["ended"] = ended
        return "streamed"

    def closed(self, session: hosts.Session) -> None:
        """Tell the watcher, unless the session was cut off."""
        if "ended" in session.state:
            session.state["ended"].set()
