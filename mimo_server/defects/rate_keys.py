"""A rate limit by what clients say of themselves. Not a leak."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable
from typing import Any

from mcp.server.context import ServerRequestContext
from starlette.requests import Request
from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import SERVES_HTTP, Defect, LookAlike, scenario
from mimo_server.supervision.rates import RateLimit
from mimo_server.supervision.registry import Bound
from mimo_server.surface.caller import caller

WINDOW_SECONDS = 2.0

DEFECT = Defect(
    id="rate_keys",
    words="No table size monitoring; no eviction policies (missed by the audit: the table of the rate limiter)",
    mechanism=(
        "The key of the limit is the first address of X-Forwarded-For, so each request can have one of its own, and "
        "the table has an entry for each in each window of time. Windows older than two are swept when a new key "
        f"comes: the table grows, and is bounded by three windows of traffic. A window is {WINDOW_SECONDS:g} s here, "
        "60 s there."
    ),
    truth=LookAlike(
        shapes={'metric.mimo_registry_entries{registry="call_rate"}': ("plateau", "step", "sawtooth", "filling")},
        operation="task:forwards",
    ),
    audit=(*scenario("headers"), "--rounds", "27"),
    serve=SERVES_HTTP,
)


class Windows(RateLimit):
    """Counts per key and window; limits nobody."""

    def __init__(self) -> None:
        super().__init__("call_rate", per_second=1.0, burst=1, keys=1)
        self._windows: Counter[tuple[Hashable, int]] = Counter()

    @override
    def admit(self, key: Hashable) -> None:
        now = int(time.monotonic() / WINDOW_SECONDS)
        if (key, now) not in self._windows:
            for old in [one for one in self._windows if one[1] < now - 2]:
                del self._windows[old]
        self._windows[key, now] += 1

    @override
    def bounds(self) -> tuple[Bound, ...]:
        size = len(self._windows)
        return (Bound(name=self.name, size=size, limit=None, high_water=size, rejected=0),)


def _claimed(ctx: ServerRequestContext[Any]) -> Hashable:
    if isinstance(ctx.request, Request) and (said := ctx.request.headers.get("x-forwarded-for")):
        return said.partition(",")[0]
    return caller(ctx)


def install(app: App) -> None:
    """Replace the limit, and whom it takes for the caller."""
    app.rates = Windows()
    app.caller = _claimed
