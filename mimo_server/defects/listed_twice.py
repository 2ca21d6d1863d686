"""tools/list names the tools of skills twice."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import SERVES_HTTP, Defect, WrongAnswer, scenario
from mimo_server.supervision.registry import Registry

DEFECT = Defect(
    id="listed_twice",
    words="`:mimo_tools` - Tool registrations (missed by the audit: what they were added to)",
    mechanism=(
        "The audited server listed its own tools, then those of the catalog, then those of the skills that run: each "
        "tool of a running skill stood there twice. Here every tool of a skill does."
    ),
    truth=WrongAnswer(scenario="tools"),
    audit=scenario("tools"),
    serve=SERVES_HTTP,
)


class Twice(Registry[Any]):
    """Keeps each tool once."""

    @override
    def items(self) -> Iterator[tuple[Hashable, Any]]:
        yield from super().items()
        yield from [(key, held.entry) for key, held in self._entries.items() if held.owner is not None]


def install(app: App) -> None:
    """Replace the table."""
    app.tools = Twice(app.tools.name, limit=app.tools.limit)
