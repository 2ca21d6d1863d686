"""A registry with a limit: what is alive and whose it is, how many at once so far, how many were turned away."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

from mimo_server.errors import InvalidError, LimitError
from mimo_server.supervision.owner import Owner

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How one limited thing stands now: a registry, a queue, a pool."""

    name: str
    size: int
    limit: int | None
    """Most at once; None where nothing limits it."""
    high_water: int
    """Most there ever were at once."""
    rejected: int
    """Turned away at the limit since the start."""
    evicted: int | None = None
    """Oldest ones dropped at the limit to make room since the start; None where a full one turns away instead."""


class Registry(Generic[Entry]):
    """Entries by key, at most `limit` at once (None: no limit). Used from the event loop's thread only.

    An entry with an owner leaves with it. One without is its creator's to remove.
    """

    def __init__(self, name: str, *, limit: int | None) -> None:
        self.name = name
        self.limit = limit
        """May be changed at any time; what is beyond a lower one stays."""
        self._entries: dict[Hashable, _Held[Entry]] = {}
        self._next = 1
        self._high_water = 0
        self._rejected = 0

    def add(self, entry: Entry, *, key: Hashable = None, owner: Owner | None = None) -> Hashable:
        """Keep `entry` until `remove` or its owner's end; return its key, a new number where none is given.

        Raises LimitError when full, InvalidError when the key is taken.
        """
        if key is not None and key in self._entries:
            raise InvalidError(f"{self.name}: {key!r} is there already; each name can be taken once")
        if self.limit is not None and len(self._entries) >= self.limit:
            self._rejected += 1
            raise LimitError(f"{self.name}: {self.limit} at once are in use; wait until one has ended and try again")
        if key is None:
            key, self._next = self._next, self._next + 1
        self._entries[key] = held = _Held(entry, owner)
        self._high_water = max(self._high_water, len(self._entries))
        if owner is not None:
            held.release = owner.at_end(lambda: self.remove(key))
        return key

    def get(self, key: Hashable) -> Entry | None:
        """The entry of that key, or None when it was removed or never was."""
        held = self._entries.get(key)
        return None if held is None else held.entry

    def remove(self, key: Hashable) -> None:
        """Forget the entry; a key that is not there is no error (its owner may have been faster)."""
        if (held := self._entries.pop(key, None)) is not None:
            held.release()

    def sweep(self) -> int:
        """Remove what belongs to an owner that has ended, and say how much: an owner that ends properly leaves 0."""
        dead = [key for key, held in self._entries.items() if held.owner is not None and not held.owner.alive]
        for key in dead:
            self.remove(key)
        return len(dead)

    @contextmanager
    def holding(self, entry: Entry) -> Iterator[Hashable]:
        """`add` now, `remove` at the end whatever happens."""
        key = self.add(entry)
        try:
            yield key
        finally:
            self.remove(key)

    def items(self) -> Iterator[tuple[Hashable, Entry]]:
        """Keys and entries as they are now, oldest first."""
        return iter([(key, held.entry) for key, held in self._entries.items()])

    def __iter__(self) -> Iterator[Entry]:
        return iter([held.entry for held in self._entries.values()])

    def __len__(self) -> int:
        return len(self._entries)

    def bound(self) -> Bound:
        """The figures for the metrics page."""
        return Bound(
            name=self.name,
            size=len(self._entries),
            limit=self.limit,
            high_water=self._high_water,
            rejected=self._rejected,
        )


class _Held(Generic[Entry]):
    __slots__ = ("entry", "owner", "release")

    def __init__(self, entry: Entry, owner: Owner | None) -> None:
        self.entry = entry
        self.owner = owner
        self.release: Callable[[], None] = _nothing


def _nothing() -> None:
    """An entry without an owner has nobody to tell."""
