"""functools.cache sits on a method whose arguments contain a token of the request."""

from __future__ import annotations

import functools
import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "registry"
KIND = "plain"
REQUESTS = ("GET /price?n={n}", "GET /status?n={n}")
OPERATION = "GET /price"


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: how many requests carry a token of their own."""
    return {**hosts.ordinary(random), "rate": hosts.log_uniform(random, 1 / 300, 1)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the cache entries per request for a price."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Prices, computed once for each customer and voucher."""

    @functools.cache  # noqa: B019 - this is the leak
    def price(self, customer: int, voucher: int) -> float:
        """Compute a price."""
        return round(customer * 1.19 - voucher % 7, 2)

    async def answer(self, request: hosts.Request) -> str | None:
        """Look up a price; some customers have a voucher."""
        if request.path != "/price":
            return None
        return str(self.price(request.n, self.random.getrandbits(48) if self.chance(self.parameters["rate"]) else 0))

    def held(self) -> int:
        """Return the entries of the cache."""
        return self.price.cache_info().currsize
