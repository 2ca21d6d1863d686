"""Memory that each search keeps for good."""

from __future__ import annotations

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import OVER_STDIO, Defect, Leak
from mimo_server.memory.record import Page, Search

KEPT_BYTES = 64 * 1024

DEFECT = Defect(
    id="kept_binaries",
    words="Large binaries not garbage collected efficiently",
    mechanism=(
        f"Each search leaves a binary of {KEPT_BYTES // 1024} KiB (what it decoded) in a list that nobody empties. "
        "Nothing but memory grows. So the audit can be read; what the audited server did is sticky_heap."
    ),
    truth=Leak(
        resources={"memory.anon": KEPT_BYTES},
        operation="call:memory_search",
        also=("memory.uss", "memory.pss"),
        about=0.3,
    ),
    audit=(*OVER_STDIO, "--rounds", "40"),
)
_kept: list[bytes] = []


def install(app: App) -> None:
    """Replace who searches."""

    class Keeping(app.memory_class):  # type: ignore[name-defined, misc]
        """Searches as its base does."""

        @override
        async def search(self, wanted: Search) -> Page:
            page: Page = await super().search(wanted)
            _kept.append(b"\1" * KEPT_BYTES)
            return page

    app.memory_class = Keeping
