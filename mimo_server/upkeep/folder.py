"""A data folder, opened without settings: it says itself how its embeddings are kept."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mimo_server.errors import SettingsError
from mimo_server.memory import schema, seal
from mimo_server.memory.codec import Int8Codec
from mimo_server.memory.record import Vector
from mimo_server.memory.rows import COLUMNS, Row
from mimo_server.memory.vectors import unit

_AT_ONCE = 256
"""Rows read at a time: half a MiB at 1536 dimensions."""

Progress = Callable[[str, int, int], None]
"""Called with what is done, how many of it so far, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How embeddings are made and kept."""

    codec: str
    dimensions: int
    embedder: str

    @classmethod
    def parse(cls, text: str) -> Form:
        """From `int8/384/lexical`. Raises SettingsError for a form that this version does not read."""
        codec, _, rest = text.partition("/")
        dimensions, _, embedder = rest.partition("/")
        if codec != Int8Codec.name or not dimensions.isdigit():
            raise SettingsError(
                f"the folder keeps its embeddings as {text}, and only {Int8Codec.name} can be read here; "
                "export it with the server that wrote it"
            )
        return cls(codec=codec, dimensions=int(dimensions), embedder=embedder)


class Folder:
    """A locked data folder, to be read."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.db = connection
        (text,) = connection.execute("SELECT format FROM state").fetchone()
        self.form = Form.parse(text)
        self.codec = Int8Codec()

    def count(self) -> int:
        """How many memories."""
        (count,) = self.db.execute("SELECT count(*) FROM engrams").fetchone()
        return int(count)

    def rows(self) -> Iterator[Row]:
        """All rows in the order of their ids, some at a time. Raises sqlite3.DatabaseError at a damaged page."""
        last = 0
        while found := self._after(last):
            yield from found
            last = found[-1].id

    def readable_rows(self, unreadable: list[int]) -> Iterator[Row]:
        """…and past damaged pages: around them row by row. Those that are lost come into the list.

        Does not see: a lost row of an id that no index has either.
        """
        last = 0
        while True:
            try:
                found = self._after(last)
            except sqlite3.DatabaseError:
                block = range(last + 1, last + 1 + _AT_ONCE)
                yield from self._one_by_one(block, unreadable)
                last = block[-1]
                if last >= self._highest:
                    return
            else:
                if not found:
                    return
                yield from found
                last = found[-1].id

    def _after(self, last: int) -> list[Row]:
        words = f"SELECT {COLUMNS} FROM engrams WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 -- our own constant
        return [Row(*row) for row in self.db.execute(words, (last, _AT_ONCE))]

    def _one_by_one(self, ids: range, unreadable: list[int]) -> Iterator[Row]:
        for number in ids:
            try:
                row = self.db.execute(f"SELECT {COLUMNS} FROM engrams WHERE id = ?", (number,)).fetchone()  # noqa: S608 -- our own constant
            except sqlite3.DatabaseError:
                if number in self._known:
                    unreadable.append(number)
            else:
                if row is not None:
                    yield Row(*row)

    @cached_property
    def _known(self) -> frozenset[int]:
        """The ids in the first index that can be read; where none can, all that were ever given."""
        for name in ("engrams_change", "engrams_created", "engrams_importance", "engrams_category"):
            with suppress(sqlite3.DatabaseError):
                return frozenset(row[0] for row in self.db.execute(f"SELECT id FROM engrams INDEXED BY {name}"))  # noqa: S608 -- our own names
        return frozenset(range(1, self._highest + 1))

    @cached_property
    def _highest(self) -> int:
        """The highest id that was given. Raises sqlite3.DatabaseError when neither seal nor database says it."""
        sealed = seal.read(self.path) if (self.path / seal.FILE).exists() else None
        if sealed is not None:
            return sealed.last_id
        found = self.db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'engrams'").fetchone()
        return int(found[0]) if found else 0

    def vector(self, stored: bytes | str) -> Vector:
        """The unit vector of an embedding."""
        only: Vector = unit(self.codec.decode(stored).reshape(1, -1))[0]
        return only


@contextmanager
def opened(path: Path) -> Iterator[Folder]:
    """Lock and read a folder. Raises SettingsError when there is none, a server uses it, or it is another version's."""
    if not (path / schema.FILE).is_file():
        raise SettingsError(f"{path} has no {schema.FILE}; give a folder that was some server's --data")
    with closing(schema.lock(path)), closing(schema.reading_connection(path)) as connection:
        schema.check_version(connection, path / schema.FILE)
        yield Folder(path, connection)
