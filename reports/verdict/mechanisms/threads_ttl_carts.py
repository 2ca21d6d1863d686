"""A table of carts is swept by a thread: a cart that nobody touched for some seconds is dropped."""

from __future__ import annotations

import random
import threading
import time
from typing import Any

import hosts

LEAKS = False
HOST = "threads"
RESOURCE = "registry"
KIND = "ttl"
REQUESTS = ("GET /cart?n={n}", "GET /health?n={n}")
OPERATION = None


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: carts live for 1 to 12 s, each with 1 to 60 articles."""
    return {
        **hosts.ordinary(random),
        "seconds": hosts.log_uniform(random, 1, 12),
        "articles": round(hosts.log_uniform(random, 1, 60)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Keeps carts."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.lock = threading.Lock()
        self.carts: dict[int, tuple[float, list[str]]] = {}

    def start(self) -> None:
        """Begin to sweep."""
        threading.Thread(target=self.sweep, daemon=True).start()

    def sweep(self) -> None:
        """Drop old carts, again and again."""
        while True:
            time.sleep(0.5)
            oldest = time.monotonic() - self.parameters["seconds"]
            with self.lock:
                self.carts = {cart: kept for cart, kept in self.carts.items() if kept[0] > oldest}

    def answer(self, request: hosts.Request) -> str | None:
        """Fill a cart."""
        if request.path != "/cart":
            return None
        articles = [f"article {self.random.randrange(10_000)}" for _ in range(self.parameters["articles"])]
        with self.lock:
            self.carts[self.random.getrandbits(48)] = (time.monotonic(), articles)
        return articles[0]

    def held(self) -> int:
        """Return how many carts are held."""
        return len(self.carts)
