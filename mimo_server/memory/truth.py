"""The rows, as an index wants to see them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import MutableMapping, Sequence

import numpy as np

from mimo_server.memory.codec import Codec
from mimo_server.memory.failures import failure
from mimo_server.memory.index import Entries, Numbers
from mimo_server.memory.rows import COLUMNS, Row, is_sound

_BY_IDS = f"SELECT {COLUMNS} FROM engrams WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"  # noqa: S608 -- ours


class RowTruth:
    """Reads through a connection of its own; one thread at a time."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        codec: Codec,
        corrupt: MutableMapping[int, str],
    ) -> None:
        self._db = connection
        self._codec = codec
        self._corrupt = corrupt

    def numbers(self) -> tuple[Numbers, Numbers]:
        """Ids of all memories, ascending, and their changes: 16 bytes each, from an index that has both."""
        pair = np.dtype([("id", "<i8"), ("change", "<i8")])
        try:
            read = np.fromiter(self._db.execute("SELECT id, change FROM engrams INDEXED BY engrams_change"), pair)
        except sqlite3.Error as error:
            raise failure(error) from error
        read.sort(order="id")
        return np.ascontiguousarray(read["id"]), np.ascontiguousarray(read["change"])

    def entries(self, ids: Sequence[int]) -> Entries:
        """Those that are there and sound; the others are noted as corrupt."""
        try:
            rows = [Row(*row) for row in self._db.execute(_BY_IDS, (json.dumps(list(ids)),))]
        except sqlite3.Error as error:
            raise failure(error) from error
        return entries_of([row for row in rows if is_sound(row, self._corrupt)], self._codec)

    def there(self, ids: Sequence[int]) -> Numbers:
        """Those that have a row, whatever the index of changes says."""
        words = "SELECT id FROM engrams WHERE id IN (SELECT value FROM json_each(?))"
        try:
            found = [row[0] for row in self._db.execute(words, (json.dumps(list(ids)),))]
        except sqlite3.Error as error:
            raise failure(error) from error
        return np.array(found, dtype=np.int64)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()


def entries_of(rows: Sequence[Row], codec: Codec) -> Entries:
    """What the index needs of sound rows."""
    return Entries(
        ids=[row.id for row in rows],
        changes=[row.change for row in rows],
        categories=[row.category for row in rows],
        importances=[row.importance for row in rows],
        steps=codec.steps([row.embedding for row in rows]) if rows else np.empty((0, 0), dtype=np.int8),
    )
