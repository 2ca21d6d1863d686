"""Changes as statements, within a transaction that others begin and end."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from mimo_server.errors import InvalidError
from mimo_server.memory.codec import Codec
from mimo_server.memory.record import Add, Change, Forget, Order, Retire
from mimo_server.memory.rows import COLUMNS, Row


@dataclass(frozen=True, slots=True)
class Added:
    """What was stored."""

    rows: list[Row]

    @property
    def outcome(self) -> list[int]:
        """The new ids."""
        return [row.id for row in self.rows]


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was deleted."""

    ids: list[int]

    @property
    def outcome(self) -> int:
        """How many."""
        return len(self.ids)


class Changes:
    """Of one database; on the thread that writes."""

    def __init__(self, connection: sqlite3.Connection, codec: Codec) -> None:
        self._db = connection
        self._codec = codec
        self.count = 0
        """Memories before the group of changes that is made: counting rows takes longer the more there are."""

    def made(self, change: Change) -> Added | Forgotten:
        """Make one change, within the transaction that there is. Raises sqlite3.Error, InvalidError."""
        match change:
            case Add():
                return self.added([change])[0]
            case Forget():
                return self._forget(change)
            case Retire():
                return self._retire(change)

    def added(self, changes: Sequence[Add]) -> list[Added]:
        """Store what all of them bring, in one statement, within the transaction that there is. Raises as `made`."""
        drafts = [draft for change in changes for draft in change.drafts]
        vectors = [draft.embedding for draft in drafts if draft.embedding is not None]
        if len(vectors) < len(drafts):
            raise InvalidError("a memory came to the store without its embedding; store it through Memories")
        number = self._numbers(len(drafts))
        last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'engrams'").fetchone()
        first = last[0] + 1 if last else 1
        encoded = self._codec.encode(np.stack(vectors)) if vectors else ()
        rows = [
            Row.of(draft, embedding, id=first + place, change=number + place)
            for place, (draft, embedding) in enumerate(zip(drafts, encoded, strict=True))
        ]
        self._db.executemany(f"INSERT INTO engrams ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608 -- our own constant
        left = iter(rows)
        return [Added(list(islice(left, len(change.drafts)))) for change in changes]

    def _numbers(self, count: int) -> int:
        """The first of so many new change numbers."""
        (last,) = self._db.execute("UPDATE state SET change = change + ? RETURNING change", (count,)).fetchone()
        return int(last) - count + 1

    def _forget(self, change: Forget) -> Forgotten:
        self._numbers(1)
        if change.everything:
            deleted = self._db.execute("DELETE FROM engrams RETURNING id")
        else:  # a selector that is None matches no row: in SQL nothing equals NULL
            selectors = (change.id, change.category)
            deleted = self._db.execute("DELETE FROM engrams WHERE id = ? OR category = ? RETURNING id", selectors)
        return Forgotten([row[0] for row in deleted.fetchall()])

    def _retire(self, change: Retire) -> Forgotten:
        ids: list[int] = []
        if change.before is not None:
            ids += self._ids("WHERE created_at < ? ORDER BY created_at", change.before, limit=change.limit)
        if change.most is not None:
            excess = min(self.count - len(ids) - change.most, change.limit - len(ids))
            if excess > 0:
                order = "importance, id" if change.order is Order.IMPORTANCE else "id"
                gone = set(ids)
                first = self._ids(f"ORDER BY {order}", limit=excess + len(ids))
                ids += [number for number in first if number not in gone][:excess]
        if not ids:
            return Forgotten([])
        self._numbers(1)
        self._db.execute("DELETE FROM engrams WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))
        return Forgotten(ids)

    def _ids(self, which: str, *values: float, limit: int | None = None) -> list[int]:
        bound = values if limit is None else (*values, limit)
        return [row[0] for row in self._db.execute(f"SELECT id FROM engrams {which} LIMIT ?", bound)]  # noqa: S608 -- our own words
