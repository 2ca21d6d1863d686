"""Whose an entry is: something that lives for a while, and whose end ends all that belongs to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable


class Owner:
    """A connection, a process, a generation of a catalog. It ends once, and then everything it owned is given back."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self._releases: dict[int, Callable[[], None]] = {}
        self._numbers = itertools.count(1)

    def at_end(self, release: Callable[[], None]) -> Callable[[], None]:
        """Have `release` called at the end, which may be now. Returns a function that takes it back.

        `release` must not raise: it gives something back, and nobody could do anything about a failure.
        """
        if not self.alive:
            release()
            return lambda: None
        number = next(self._numbers)
        self._releases[number] = release
        return lambda: (self._releases.pop(number, None), None)[1]

    def end(self) -> None:
        """Give everything back, newest first. Twice is no error."""
        self.alive = False
        while self._releases:
            _, release = self._releases.popitem()
            release()

    def __len__(self) -> int:
        """How much it owns now."""
        return len(self._releases)
