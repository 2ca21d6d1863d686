"""A registry with a limit: what is alive, how many at once so far, how many were turned away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from mimo_server.errors import LimitError

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How one registry stands now."""

    name: str
    size: int
    limit: int | None
    """Most entries at once; None where nothing limits it."""
    high_water: int
    """Most entries there ever were at once."""
    rejected: int
    """Entries turned away at the limit since the start."""


class Registry(Generic[Entry]):
    """Entries by number, at most `limit` at once (None: no limit). Used from the event loop's thread only."""

    def __init__(self, name: str, *, limit: int | None) -> None:
        self._name = name
        self._limit = limit
        self._entries: dict[int, Entry] = {}
        self._next = 1
        self._high_water = 0
        self._rejected = 0

    def add(self, entry: Entry) -> int:
        """Keep `entry` until `remove` and return its number. Raises LimitError when full."""
        if self._limit is not None and len(self._entries) >= self._limit:
            self._rejected += 1
            raise LimitError(f"{self._name}: {self._limit} at once are in use; wait until one has ended and try again")
        number, self._next = self._next, self._next + 1
        self._entries[number] = entry
        self._high_water = max(self._high_water, len(self._entries))
        return number

    def get(self, number: int) -> Entry | None:
        """The entry of that number, or None when it was removed or never was."""
        return self._entries.get(number)

    def remove(self, number: int) -> None:
        """Forget the entry; a number that is not there is no error (its owner may have been faster)."""
        self._entries.pop(number, None)

    @contextmanager
    def holding(self, entry: Entry) -> Iterator[int]:
        """`add` now, `remove` at the end whatever happens."""
        number = self.add(entry)
        try:
            yield number
        finally:
            self.remove(number)

    def __iter__(self) -> Iterator[Entry]:
        return iter(tuple(self._entries.values()))

    def __len__(self) -> int:
        return len(self._entries)

    def bound(self) -> Bound:
        """The figures for the metrics page."""
        return Bound(
            name=self._name,
            size=len(self._entries),
            limit=self._limit,
            high_water=self._high_water,
            rejected=self._rejected,
        )
