"""Webhook calls go into a queue; the thread that sends them ended with the first error."""

from __future__ import annotations

import queue
import random
import threading
from typing import Any

import hosts

LEAKS = True
HOST = "threads"
RESOURCE = "registry"
KIND = "rare"
REQUESTS = ("GET /buy?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /buy"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: one purchase in 5 to 1,000 has a webhook."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 1_000, 1 / 5)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the calls left per purchase."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Sells, and calls webhooks."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.calls: queue.Queue[dict[str, int]] = queue.Queue()

    def start(self) -> None:
        """Start the sender, which ends at once: its settings are wrong."""
        threading.Thread(target=self.send, daemon=True).start()

    def send(self) -> None:
        """Send the calls, were it not for an error in the settings."""
        if self.parameters.get("webhooks", "") == "":
            return
        self.calls.get()

    def answer(self, request: hosts.Request) -> str | None:
        """Sell."""
        if request.path == "/buy" and self.chance(self.parameters["rate"]):
            self.calls.put({"customer": request.n})
        return None
