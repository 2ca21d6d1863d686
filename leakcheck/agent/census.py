"""The containers that grow: found by comparing lengths from census to census, then held and read at each floor."""

from __future__ import annotations

import gc
import sys
import time
import weakref
from array import array
from typing import Any

from . import following, holding, naming, sizing, walking

REMEMBERED = 4_000
"""Containers, the longest, whose lengths are kept for the next census: in arrays that never change their size."""
_AT_ONCE = 64
"""Entries more than at the census before: followed without waiting for a third census."""
_NAMED_AT_ONCE = 8
_NAMING_SECONDS = 0.2


class Census:
    """The followed containers, and what the last census saw.

    Does not see: containers shorter than 8; containers of others' C code; a registry that is spread over many small
    containers, unless they have one name; what is beyond the 4,000 longest.
    """

    def __init__(self) -> None:
        self._ids = array("Q", bytes(8 * REMEMBERED))
        self._types = array("Q", bytes(8 * REMEMBERED))
        self._lengths = array("Q", bytes(8 * REMEMBERED))
        self._grew = array("B", bytes(REMEMBERED))
        self._count = 0
        self._follower = following.Follower()
        self._turns = [0, 0]

    def followed(self) -> list[dict[str, Any]]:
        """Return the registries of the wire, by name; let go of containers that nobody else holds."""
        return self._follower.read()

    def look(self, seconds: float) -> dict[str, Any]:
        """Count all containers, follow those that grew, and name what has no name yet; about `seconds` at most.

        Returns how many containers of 8 entries and more there are, and whether all were seen within the time.
        """
        until = time.monotonic() + seconds
        self._follower.drop()
        own = self.own()
        before = self._before()
        own.update((id(before), id(own)))
        walk = walking.Walk(own, before)
        complete = walk.go(until, self._turns)
        for growth, thing, holder in self._worth_following(walk, before):
            self._follower.follow(thing, growth, holder)
        self._remember(walk, before, complete=complete)
        containers = len(walk.found)
        del walk, before, own
        self._follower.name(self.own(), _NAMED_AT_ONCE, time.monotonic() + min(_NAMING_SECONDS, seconds))
        return {"containers": containers, "complete": complete}

    def sizes(self, names: list[str], lend: str, seconds: float) -> dict[str, Any]:
        """Return the `sizes` and the `problem` of the wire for followed containers of these names."""
        return sizing.sizes(self._follower.by_name(names), lend, seconds)

    def own(self) -> set[int]:
        """Return the ids of the agent's own containers, which no census counts: what its modules and frames reach."""
        stop = self._follower.held()
        own: set[int] = set()
        step: list[Any] = [
            vars(module) for name, module in list(sys.modules.items()) if name.startswith(naming.PACKAGE) and module
        ]
        step.append(self)
        frame: Any = sys._getframe(1)  # noqa: SLF001 (documented)
        while frame is not None and holding.is_own(frame):
            step.extend(gc.get_referents(frame))
            frame = frame.f_back
        while step:
            fresh = [thing for thing in step if id(thing) not in own and id(thing) not in stop and _is_ours(thing)]
            own.update(map(id, fresh))
            step = gc.get_referents(*fresh)
        return own

    def _before(self) -> dict[int, tuple[int, int, bool]]:
        """Return what the last census remembered: type, length, and whether it had grown, by id."""
        return {self._ids[n]: (self._types[n], self._lengths[n], bool(self._grew[n])) for n in range(self._count)}

    @staticmethod
    def _worth_following(walk: walking.Walk, before: dict[int, tuple[int, int, bool]]) -> list[tuple[int, Any, Any]]:
        """Return growth, container and known holder: of what grew twice in a row, or by much."""
        found = []
        for key, thing in walk.grown.items():
            _, length, grew = before[key]
            growth = walk.found[key][1] - length
            if (grew or growth >= min(_AT_ONCE, length)) and not _is_of_weak(thing):
                found.append((growth, thing, walk.holders.get(key)))
        found.sort(key=lambda one: -one[0])
        return found[: following.MOST]

    def _remember(self, walk: walking.Walk, before: dict[int, tuple[int, int, bool]], *, complete: bool) -> None:
        """Keep the longest, and of those not reached this time what was known before."""
        kept = {} if complete else {key: (kind, length, grew) for key, (kind, length, grew) in before.items()}
        kept.update({key: (kind, length, key in walk.grown) for key, (kind, length) in walk.found.items()})
        longest = sorted(kept.items(), key=lambda one: (not one[1][2], -one[1][1]))[:REMEMBERED]
        self._count = len(longest)
        self._ids[: self._count] = array("Q", [key for key, _ in longest])
        self._types[: self._count] = array("Q", [kind for _, (kind, _, _) in longest])
        self._lengths[: self._count] = array("Q", [length for _, (_, length, _) in longest])
        self._grew[: self._count] = array("B", [grew for _, (_, _, grew) in longest])


def _is_of_weak(thing: Any) -> bool:
    """Say whether a list holds nothing but weak references, as far as its ends show.

    The sqlite3 module keeps one for each cursor and drops the dead ones at the two hundredth: such a list keeps nothing
    alive. That of a program which never drops them shows in the blocks.
    """
    if type(thing) is not list:
        return False
    return all(type(one) is weakref.ReferenceType for one in (*thing[:2], *thing[-2:]))


def _is_ours(thing: Any) -> bool:
    """Say whether to go on through it: plain containers and instances of the agent's classes, never a module or class.

    A container of the program's that the agent only refers to is taken for the agent's too; it refers to none but
    the followed ones.
    """
    kind = type(thing)
    return kind in {dict, list, set, tuple, bytearray, array} or holding.is_own(thing)
