"""A memory and its row, with a checksum over all of it: SQLite notices 1 of 30 flipped bits by itself."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from hashlib import blake2b
from typing import NamedTuple

from mimo_server.errors import StoreError
from mimo_server.memory.record import Category, Draft, Memory

COLUMNS = "id, content, category, importance, embedding, metadata, created_at, updated_at, change, checksum"


class Row(NamedTuple):
    """One row, its columns in the order of COLUMNS."""

    id: int
    content: str
    category: str
    importance: float
    embedding: bytes | str
    metadata: str
    created_at: float
    updated_at: float
    change: int
    """Number of the change that wrote it; numbers only grow, and none is given twice."""
    checksum: bytes

    @classmethod
    def of(cls, draft: Draft, embedding: bytes | str, *, id: int, change: int) -> Row:  # noqa: A002 -- the column's name
        """The row of a draft that has its time."""
        created_at = float(draft.created_at or 0.0)
        metadata = json.dumps(dict(draft.metadata), ensure_ascii=False, allow_nan=False) if draft.metadata else "{}"
        row = cls(
            id=id,
            content=draft.content,
            category=str(draft.category.value),
            importance=float(draft.importance),
            embedding=embedding,
            metadata=metadata,
            created_at=created_at,
            updated_at=created_at,
            change=change,
            checksum=b"",
        )
        return row._replace(checksum=row.digest())

    def digest(self) -> bytes:
        """Eight bytes over every other column: 1 of 2^64 damages goes unseen."""
        blob = self.embedding if isinstance(self.embedding, bytes) else b""
        # In repr 1 is not "1", nor ("ab", "c") ("a", "bc"); a blob's own is long, and all of a blob comes after it.
        rest = repr((*self[:4], self.embedding if not blob else len(blob), *self[5:-1]))
        return blake2b(rest.encode("utf-8", "surrogatepass") + blob, digest_size=8).digest()

    def memory(self) -> Memory:
        """The memory. Raises CorruptRowError when the row is not what was written."""
        self.verify()
        return Memory(
            id=self.id,
            content=self.content,
            category=Category(self.category),
            importance=self.importance,
            metadata=json.loads(self.metadata),
            created_at=self.created_at,
            updated_at=self.updated_at,
        )

    def verify(self) -> None:
        """Raises CorruptRowError when the row is not what was written."""
        if self.digest() != self.checksum:
            raise CorruptRowError(self.id)


class CorruptRowError(StoreError):
    """A row is damaged."""

    def __init__(self, id: int) -> None:  # noqa: A002 -- as everywhere
        super().__init__(
            f"memory {id} is damaged: its row does not have its checksum; it is left out of searches from now on: "
            "forget it, or restore the data folder from a copy; and look at the disk"
        )
        self.id = id


def is_sound(row: Row, corrupt: MutableMapping[int, str]) -> bool:
    """Whether it is what was written; one that is not is noted under its id."""
    try:
        row.verify()
    except CorruptRowError as error:
        corrupt[row.id] = str(error)
        return False
    return True


def readable(text: bytes) -> str:
    """Damaged text too: its checksum will not fit, which says more than a decoding error."""
    return text.decode("utf-8", "replace")
