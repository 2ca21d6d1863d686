"""A worker that keeps what its last searches needed. Not a leak."""

from __future__ import annotations

from collections import deque

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import OVER_STDIO, SERVES_STDIO, Defect, LookAlike
from mimo_server.memory.reader import SqliteReader
from mimo_server.memory.record import Page, Search, Vector
from mimo_server.memory.store import SqliteStore

DEFECT = Defect(
    id="sticky_heap",
    words="Binary Memory: large binaries not garbage collected efficiently",
    mechanism=(
        "One long-lived process of the audited server answered all of stdin, and its heap kept what the last searches "
        "had needed (133 MB after three, measured) until something else made it collect. Here each reader keeps the "
        "decoded embeddings of its last three searches. Memory goes up in the first searches and stays: a step, a "
        "plateau, no slope."
    ),
    truth=LookAlike(shapes={"memory.anon": ("step", "plateau", "filling", "peak")}, operation="call:memory_search"),
    audit=(*OVER_STDIO, "--rounds", "27"),
    serve=(*SERVES_STDIO, "--seed-memories", "1000"),
)


def keeping(base: type[SqliteReader], store: SqliteStore) -> type[SqliteReader]:
    """`base` with a memory of its own."""

    class KeepingReader(base):  # type: ignore[valid-type, misc]
        """Searches as `base` does."""

        _kept: deque[list[list[float]]]

        @override
        def search(self, wanted: Search, vector: Vector) -> Page:
            if not hasattr(self, "_kept"):
                self._kept = deque(maxlen=3)
            with self._moment():
                rows = self._db.execute("SELECT embedding FROM engrams").fetchall()
            self._kept.append([store.codec.decode(embedding).tolist() for (embedding,) in rows])
            page: Page = super().search(wanted, vector)
            return page

    return KeepingReader


def install(app: App) -> None:
    """Replace who searches."""
    app.store.reader_class = keeping(app.store.reader_class, app.store)
