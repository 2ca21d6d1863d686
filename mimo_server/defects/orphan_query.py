"""Queries that outlive the connection that asked. Not a leak."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import SERVES_HTTP, Defect, LookAlike, scenario
from mimo_server.supervision.owner import Owner
from mimo_server.synapse.queries import Queries

DEFECT = Defect(
    id="orphan_query",
    words="Process Leaks (missed by the audit: websocket queries were started without a link, and without a limit)",
    mechanism=(
        "A query is a task of nobody: when its connection goes, it searches on, and its answer is thrown away. It ends "
        "when the search does, so there are more tasks for a while and none for good. There is no limit either, so a "
        "peak is as high as clients make it."
    ),
    truth=LookAlike(
        shapes={'metric.mimo_registry_entries{registry="queries"}': ("flat", "sawtooth", "peak")},
        operation="task:drops",
    ),
    audit=scenario("synapse"),
    serve=SERVES_HTTP,
)


class Unlinked(Queries):
    """Starts as the correct one does; nobody's end is a task's."""

    @override
    def own(self, task: asyncio.Task[None], owner: Owner) -> Callable[[], None]:
        return lambda: None

    @override
    async def ended(self, owner: Owner | None = None) -> None:
        if owner is None:  # the server ends
            await super().ended()


def install(app: App) -> None:
    """Replace who owns queries, and lift the limit."""
    app.synapse.queries = Unlinked(limit=None)
