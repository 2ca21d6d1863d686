"""Reading beside the writer."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from mimo_server.errors import LimitError, NotFoundError
from mimo_server.memory.codec import Codec
from mimo_server.memory.cursor import Place, place_of
from mimo_server.memory.failures import failure
from mimo_server.memory.funnel import ranked
from mimo_server.memory.index import Fitting, Rank, VectorIndex
from mimo_server.memory.record import Hit, Memory, Page, Search, Vector
from mimo_server.memory.rows import COLUMNS, CorruptRowError, Row, is_sound
from mimo_server.memory.truth import entries_of

_START = Rank(2.0, 0)
"""Before every memory."""
_MOST_READ = 1024
"""Rows at once."""
_MOST_BEHIND = 100_000
"""Memories that a search looks at row by row while the index is filled in: a second, and less from search to search."""
_BY_IDS = f"SELECT {COLUMNS} FROM engrams WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 -- ours


class Reader(Protocol):
    """Reads, from any thread, one call at a time. Every call may block."""

    def search(self, wanted: Search, vector: Vector) -> Page:
        """One page of the memories that fit, by likeness to `vector`."""

    def get(self, number: int) -> Memory:
        """One memory. Raises NotFoundError."""

    def close(self) -> None:
        """Let go of the file."""


class SqliteReader:
    """One connection. Every call sees the database as it was at one moment."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        index: VectorIndex,
        codec: Codec,
        corrupt: dict[int, str],
    ) -> None:
        self._db = connection
        self._index = index
        self._codec = codec
        self._corrupt = corrupt

    @contextmanager
    def _moment(self) -> Iterator[int]:
        """Within it nothing changes; gives the number of the last change. Short: the log cannot be reset meanwhile.

        Raises StoreError for what SQLite raises in it.
        """
        try:
            self._db.execute("BEGIN")
            (change,) = self._db.execute("SELECT change FROM state").fetchone()
            yield int(change)
        except sqlite3.Error as error:
            raise failure(error) from error
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def search(self, wanted: Search, vector: Vector) -> Page:
        """One page, in the order of similarity, then id.

        All pages of a search together have each memory that was stored before the first page and not forgotten before
        the last once, and nothing that was stored later, provided that the same text gives the same vector each time.
        Does not see: a memory whose row is damaged. The search that meets it first fails and says so.
        """
        with self._moment() as change:
            start = Place(after=_START, seen=0, watermark=change)
            if wanted.cursor is not None:
                start = place_of(wanted.cursor, wanted)
            hits = self._hits(wanted, vector, start)
        if len(hits) <= wanted.limit:
            return Page(hits=tuple(hits), next_cursor=None)
        hits = hits[: wanted.limit]
        end = Rank(hits[-1].similarity, hits[-1].memory.id)
        place = Place(after=end, seen=start.seen + len(hits), watermark=start.watermark)
        return Page(hits=tuple(hits), next_cursor=place.written(wanted))

    def _hits(self, wanted: Search, vector: Vector, start: Place) -> list[Hit]:
        """One more than a page, if there are so many."""
        fitting = Fitting(
            category=wanted.category, min_importance=wanted.min_importance, max_importance=wanted.max_importance
        )
        only = None if fitting.is_all else fitting
        behind = self._behind(vector, fitting)
        after, asked = start.after, wanted.limit + 1
        hits: list[Hit] = []
        while True:
            ranks = self._index.nearest(vector, asked, after=after, seen=start.seen + len(hits), fitting=only)
            if behind:
                ranks = _merged(ranks, behind, after)[:asked]
            near = [rank for rank in ranks if rank.similarity >= wanted.min_similarity]
            memories = self._memories([rank.id for rank in near], start.watermark)
            # The index may be a moment ahead of the rows: what it has and they have not is newer, or gone.
            hits += [Hit(memory=memories[rank.id], similarity=rank.similarity) for rank in near if rank.id in memories]
            if len(hits) > wanted.limit or len(near) < asked:
                return hits
            after, asked = ranks[-1], min(2 * asked, _MOST_READ)

    def _behind(self, vector: Vector, fitting: Fitting) -> list[Rank]:
        """Of the memories that the index cannot find yet, those that fit. Raises LimitError when they are too many."""
        pending = self._index.pending()
        if not len(pending):
            return []
        if len(pending) > _MOST_BEHIND:
            raise LimitError(
                f"the index is being rebuilt, and {len(pending)} memories are still to come; try again in a moment "
                "(memories can be stored, read by id and forgotten meanwhile)"
            )
        ranks = []
        for first in range(0, len(pending), _MOST_READ):
            rows = self._rows(pending[first : first + _MOST_READ].tolist())
            fit = [row for row in rows if _fits(row, fitting) and is_sound(row, self._corrupt)]
            if fit:
                entries = entries_of(fit, self._codec)
                ranks += ranked(entries.steps, entries.ids, vector)
        return ranks

    def _memories(self, ids: Sequence[int], watermark: int) -> dict[int, Memory]:
        """Those that are there, sound, and no newer than the watermark, by id."""
        sound = [number for number in ids if number not in self._corrupt]
        rows = [(row, self._sound(row)) for row in self._rows(sound)]  # a damaged number of change means nothing
        return {row.id: memory for row, memory in rows if row.change <= watermark}

    def _rows(self, ids: Sequence[int]) -> list[Row]:
        found = self._db.execute(_BY_IDS, (json.dumps(ids),))
        return [Row(*row) for row in found]

    def _sound(self, row: Row) -> Memory:
        try:
            return row.memory()
        except CorruptRowError as error:
            self._corrupt[row.id] = str(error)
            raise

    def get(self, number: int) -> Memory:
        """One memory by its id."""
        with self._moment():
            rows = self._rows([number])
        if not rows:
            raise NotFoundError(f"there is no memory {number}; it was forgotten, or never was")
        return self._sound(rows[0])

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def _fits(row: Row, fitting: Fitting) -> bool:
    return fitting.category in {None, row.category} and (
        fitting.min_importance <= row.importance <= fitting.max_importance
    )


def _merged(ranks: Iterable[Rank], behind: Iterable[Rank], after: Rank) -> list[Rank]:
    """Both in order, each memory once: one that was filled in meanwhile is in both."""
    found = {rank.id: rank for rank in (*(one for one in behind if after.before(one)), *ranks)}
    return sorted(found.values(), key=lambda rank: (-rank.similarity, rank.id))
