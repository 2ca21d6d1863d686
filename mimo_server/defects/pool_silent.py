"""No connection to the database is free: nothing is found, and nobody is told."""

from __future__ import annotations

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import SERVES_HTTP, Defect, WrongAnswer, scenario
from mimo_server.defects.small_pool import OneReader
from mimo_server.errors import LimitError
from mimo_server.memory.record import Page, Search

DEFECT = Defect(
    id="pool_silent",
    words="Connection pool exhaustion could cause database operations to fail",
    mechanism=(
        "They do not fail: the audited search rescued every exception and answered with an empty list. Whoever "
        "searches while the pool is exhausted is told, with success, that nothing is remembered. The pool has one "
        "connection here and nobody may wait, for a search takes a thousandth of what it took there."
    ),
    truth=WrongAnswer(scenario="memories"),
    audit=scenario("memories"),
    serve=(*SERVES_HTTP, "--readers", "1"),
)


def install(app: App) -> None:
    """Replace what a full pool means."""

    class Silent(app.memory_class):  # type: ignore[name-defined, misc]
        """Searches as its base does, and finds nothing where that cannot be."""

        readers_class = OneReader

        @override
        async def search(self, wanted: Search) -> Page:
            try:
                page: Page = await super().search(wanted)
            except LimitError:
                return Page(hits=(), next_cursor=None)
            return page

    app.memory_class = Silent
