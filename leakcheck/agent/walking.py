"""One walk over all objects for the lengths of containers, in slices so short that the program runs in between."""

from __future__ import annotations

import gc
import time
from itertools import compress
from operator import not_
from typing import Any, Callable  # noqa: UP035 (Python 3.8)

from . import bounded, holding

SHORTEST = 8
"""Entries: what is shorter is not looked at."""
_SLICE = 4_000
"""Objects looked at between two looks at the clock: about half a millisecond."""
HUGE = 100_000
"""Entries: what is longer is not searched for containers that the collector does not track."""
_UNTRACKED = frozenset((id(dict), id(bytearray)))


class Walk:
    """What one census sees. All of it is let go of with the walk.

    Does not see: dicts of atoms in containers of more than 100,000 entries, and byte arrays in tuples of atoms.
    """

    def __init__(self, own: set[int], before: dict[int, tuple[int, int, bool]]) -> None:
        self.own = own
        self.before = before
        """Type's id, length, and whether it had grown, by id, of the census before."""
        self.found: dict[int, tuple[int, int]] = {}
        """Type's id and length by id."""
        self.grown: dict[int, Any] = {}
        """Containers that are longer than they were."""
        self.holders: dict[int, Any] = {}
        """Of those, what holds them though the collector does not track it."""
        self._plain: set[int] = set()
        """Ids of types whose objects `len` measures."""
        self._measures: dict[int, Callable[[Any], int]] = {}
        """What measures objects of the other containers' types."""
        self._kinds: dict[int, type] = {}
        self._huge: set[int] = set()
        self._weak: set[int] = set()
        self._inner: set[int] = set()
        own.update(map(id, (self.__dict__, *self.__dict__.values())))

    def go(self, until: float, turns: list[int]) -> bool:
        """Walk until that time; say whether all was seen. turns: where to begin in each part, left for the next walk.

        Tracked objects come first, since nearly all containers are among them, and then what they refer to, which gets
        a quarter of the time at least.
        """
        running = [value for frame in holding.running_frames() for _, value in holding.variables(frame)]
        self.own.add(id(running))
        self._tracked(running)
        self._untracked(running)
        running.clear()
        things = gc.get_objects()
        self.own.add(id(things))
        now = time.monotonic()
        tracked = self._part(things, self._tracked, now + (until - now) * 0.75, (turns, 0))
        untracked = self._part(things, self._untracked, until, (turns, 1))
        for key in self._inner:
            self.found.pop(key, None)
            self.grown.pop(key, None)
        return tracked and untracked

    @staticmethod
    def _part(
        things: list[Any], look: Callable[[list[Any]], object], until: float, place: tuple[list[int], int]
    ) -> bool:
        """Look at all slices, in turn from where the last walk was interrupted; say whether there was time for all."""
        turns, part = place
        starts = range(0, len(things), _SLICE)
        turn = turns[part] % len(starts)
        for done, number in enumerate((*range(turn, len(starts)), *range(turn)), start=1):
            look(things[starts[number] : starts[number] + _SLICE])
            if time.monotonic() > until and done < len(starts):
                turns[part] = number + 1
                return False
        turns[part] = 0
        return True

    def _tracked(self, things: list[Any]) -> None:
        kinds = list(map(id, map(type, things)))
        fresh = set(kinds).difference(self._kinds)
        if fresh:
            self._learn(things, fresh)
        present = set(kinds)
        if not present.isdisjoint(self._plain):
            self._long(list(compress(things, map(self._plain.__contains__, kinds))))
        if not present.isdisjoint(self._measures):
            for thing in compress(things, map(self._measures.__contains__, kinds)):
                self._note(thing, self._measures[id(type(thing))](thing))
                if bounded.is_cached(type(thing)):
                    self._inner.update(map(id, gc.get_referents(thing)))
        if not present.isdisjoint(self._weak):
            for thing in compress(things, map(self._weak.__contains__, kinds)):
                self._hide(thing)

    def _long(self, things: list[Any]) -> None:
        """Note those that are long enough: the others, which are nearly all, are left out without a line of Python."""
        for thing in compress(things, map(SHORTEST.__le__, map(len, things))):
            self._note(thing, len(thing))

    def _learn(self, things: list[Any], fresh: set[int]) -> None:
        for thing in things:
            kind = type(thing)
            if id(kind) in fresh:
                fresh.discard(id(kind))
                self._kinds[id(kind)] = kind
                measure = bounded.length_of(kind)
                if bounded.is_plain(kind):
                    self._plain.add(id(kind))
                elif measure is not None:
                    self._measures[id(kind)] = measure
                if bounded.is_weak(kind):
                    self._weak.add(id(kind))

    def _hide(self, weak: Any) -> None:
        """Leave out what a weak container keeps its references in."""
        for one in gc.get_referents(weak):
            if type(one) in {dict, set}:
                self._inner.add(id(one))
                self._inner.update(id(two) for two in gc.get_referents(one) if type(two) in {dict, set})

    def _note(self, thing: Any, length: int) -> None:
        if length < SHORTEST or id(thing) in self.own:
            return
        if length > HUGE:
            self._huge.add(id(thing))
        self.found[id(thing)] = (id(type(thing)), length)
        kind, before, _ = self.before.get(id(thing), (0, 0, False))
        if kind == id(type(thing)) and length > before:
            self.grown[id(thing)] = thing

    def _untracked(self, things: list[Any]) -> None:
        """Look at what these refer to: dicts and byte arrays that the collector does not know."""
        loose = self._loose(things)
        for held in self._loose(loose):
            if type(held) is bytearray and id(held) in self.grown:
                self.holders[id(held)] = next((one for one in loose if _holds(one, held)), None)

    def _loose(self, things: list[Any]) -> list[Any]:
        if not self._huge.isdisjoint(map(id, things)):
            things = [thing for thing in things if id(thing) not in self._huge]
        found = gc.get_referents(*things)
        found = list(compress(found, map(_UNTRACKED.__contains__, map(id, map(type, found)))))
        loose = list(compress(found, map(not_, map(gc.is_tracked, found))))
        self._long(loose)
        return loose


def _holds(holder: Any, held: Any) -> bool:
    return any(one is held for one in gc.get_referents(holder))
