"""A pool of database connections that is too small, without a queue before it."""

from __future__ import annotations

from collections.abc import Callable

from mimo_server.app import App
from mimo_server.defects import SERVES_HTTP, Defect, WrongAnswer, scenario
from mimo_server.memory.reader import Reader
from mimo_server.memory.readers import Readers

DEFECT = Defect(
    id="small_pool",
    words=(
        "pool_size: 5,  # VERY LOW FOR PRODUCTION; connection pool exhaustion could cause database operations to fail"
    ),
    mechanism=(
        "A search that finds no connection free fails at once. The pool has one connection here, for a search takes a "
        "thousandth of what it took in the audited server. Nothing grows; under load a share of the searches is "
        "refused that no client should see. What the audited server made of it is pool_silent."
    ),
    truth=WrongAnswer(scenario="memories"),
    audit=scenario("memories"),
    serve=(*SERVES_HTTP, "--readers", "1"),
)


class OneReader(Readers):
    """One at a time, and nobody waits."""

    waiting_each = 0

    def __init__(self, make: Callable[[], Reader], count: int, *, patience_s: float = 0.0) -> None:
        del count
        super().__init__(make, 1, patience_s=patience_s)


def install(app: App) -> None:
    """Replace the pool."""
    app.memory_class = type("SmallPool", (app.memory_class,), {"readers_class": OneReader})
