"""Every row read and every embedding parsed for every search. Not a leak."""

from __future__ import annotations

from operator import mul

from typing_extensions import override

from mimo_server.app import App
from mimo_server.defects import OVER_STDIO, SERVES_STDIO, Defect, LookAlike
from mimo_server.memory.reader import SqliteReader
from mimo_server.memory.record import Hit, Page, Search, Vector
from mimo_server.memory.rows import COLUMNS, Row
from mimo_server.memory.store import SqliteStore

DEFECT = Defect(
    id="scan_search",
    words="Get ALL memories and calculate similarity in Elixir; memories = Repo.all(Engram)  # FULL TABLE SCAN - O(n)",
    mechanism=(
        "A search reads all rows, decodes all embeddings into lists of floats, compares, sorts, and takes a few. Its "
        "memory is freed when it has answered: a peak that grows with what is stored and with how many search at once, "
        "and no slope. Pages after the first are not given out."
    ),
    truth=LookAlike(shapes={"memory.anon": ("peak", "step", "plateau")}, operation="call:memory_search"),
    audit=(*OVER_STDIO, "--rounds", "27"),
    serve=(*SERVES_STDIO, "--seed-memories", "1000"),
)


def scanning(base: type[SqliteReader], store: SqliteStore) -> type[SqliteReader]:
    """`base` with another search."""

    class ScanningReader(base):  # type: ignore[valid-type, misc]
        """Loads all, compares all, sorts all, takes a few."""

        @override
        def search(self, wanted: Search, vector: Vector) -> Page:
            sought = vector.tolist()
            with self._moment():
                rows = [Row(*row) for row in self._db.execute(f"SELECT {COLUMNS} FROM engrams").fetchall()]  # noqa: S608
            found = [(row, sum(map(mul, sought, store.codec.decode(row.embedding).tolist()))) for row in rows]
            hits = [
                Hit(memory=row.memory(), similarity=max(-1.0, min(1.0, likeness)))
                for row, likeness in sorted(found, key=lambda one: (-one[1], one[0].id))
                if likeness >= wanted.min_similarity
                and wanted.category in (None, row.category)
                and wanted.min_importance <= row.importance <= wanted.max_importance
            ]
            return Page(hits=tuple(hits[: wanted.limit]), next_cursor=None)

    return ScanningReader


def install(app: App) -> None:
    """Replace who searches."""
    app.store.reader_class = scanning(app.store.reader_class, app.store)
