"""min_similarity is taken and ignored."""

from __future__ import annotations

from dataclasses import replace

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import SERVES_HTTP, Defect, WrongAnswer, scenario
from mimo_server.memory.record import Page, Search

DEFECT = Defect(
    id="ignored_threshold",
    words=(
        "_min_similarity = Keyword.get(opts, :min_similarity, 0.3); no similarity threshold application before loading"
    ),
    mechanism=(
        "The underscore says it: the threshold is read and used nowhere, also not after loading. A search gives back "
        "as many memories as it may, however little alike they are."
    ),
    truth=WrongAnswer(scenario="memories"),
    audit=scenario("memories"),
    serve=SERVES_HTTP,
)


def install(app: App) -> None:
    """Replace what is asked for."""

    class Ignoring(app.memory_class):  # type: ignore[name-defined, misc]
        """Searches as its base does, for anything."""

        @override
        async def search(self, wanted: Search) -> Page:
            page: Page = await super().search(replace(wanted, min_similarity=-1.0))
            return page

    app.memory_class = Ignoring
