"""Where a container hangs in the program: upward through what refers to it, all containers in one pass a level."""

from __future__ import annotations

import gc
import sys
import time
import types
from typing import Any, Iterable, NamedTuple  # noqa: UP035 (Python 3.8)

from . import bounded, holding

DEPTH = 7
"""Steps from a container up to the thing that names it."""
WIDTH = 48
"""Things asked about in one pass."""
_REFERRERS = 2_000
"""Referrers looked at in one pass: something that everything refers to names nothing."""
PACKAGE = __name__.rpartition(".")[0]
_LONGEST = 160
"""Characters of a name."""


class Place(NamedTuple):
    """What a container is called, and what owns it."""

    name: str
    rank: int
    """The lower, the better a name: globals, then attributes, then what lives in a function, then elements."""
    module: str
    owner: Any | None = None
    attribute: str = ""
    """Of the owner: together they lead to the container again."""
    ignored: bool = False
    """True for what only serves another container, which is counted itself."""


class Names:
    """One search for the places of several containers.

    Does not see: names held by C alone, by tuples of atoms, or more than seven steps away.
    """

    def __init__(self, own: set[int], until: float) -> None:
        """Search until that time of time.monotonic(), never through the objects of `own`, which are the agent's."""
        self.own = own
        self._kept: list[Any] = []
        self.until = until
        self.slowest = 0.0
        self.spaces: dict[int, str] = {}
        for name, module in list(sys.modules.items()):
            if issubclass(type(module), types.ModuleType):  # some pretend to be one
                self.spaces.setdefault(id(types.ModuleType.__getattribute__(module, "__dict__")), name)
        self.hold(self._kept, self.spaces)

    def hold(self, *things: Any) -> None:
        """Take these for the agent's, and keep them: an id that is free again may be the program's next object."""
        self._kept.extend(things)
        self.own.update(map(id, things))

    def find(self, things: Iterable[tuple[Any, Any]]) -> dict[int, Place]:
        """Return the places by the container's id; what time was too short for is left out.

        things: containers, each with what is known to hold it although the collector does not tell, or None.
        """
        things = list(things)
        self.hold(things, *things)
        search = _Search(self, things)
        for _ in range(DEPTH):
            began = time.monotonic()
            if not search.step or began + self.slowest > self.until:
                break
            search.climb()
            self.slowest = max(self.slowest, time.monotonic() - began)
        return search.answer(finished=not search.step)


class _Search:
    """The search's state: what is asked about on this level, and the best names so far."""

    def __init__(self, names: Names, things: Iterable[tuple[Any, Any]]) -> None:
        self.names = names
        self.places: dict[int, list[Place]] = {}
        self.holders: dict[int, str] = {}
        self.kinds: dict[int, str] = {}
        self.step: list[holding.Node] = []
        self.seen: set[tuple[int, int]] = set()
        names.hold(self, self.__dict__, self.places, self.holders, self.kinds, self.step, self.seen)
        for thing, holder in things:
            self.kinds[id(thing)] = bounded.type_name(type(thing))
            node = holding.Node(id(thing), thing, "")
            if bounded.is_cached(type(thing)):
                self.places[id(thing)] = [holding.cached(thing, "")]
            elif holder is None:
                self.step.append(node)
            else:
                self._explain(holder, node, self.step)

    def climb(self) -> None:
        """Go one level up, in one pass over all objects: it takes about 25 ms for a million, and holds the GIL."""
        nodes = self.step[:WIDTH]
        wanted: dict[int, list[holding.Node]] = {}
        for node in nodes:
            wanted.setdefault(id(node.target), []).append(node)
        targets = tuple(some[0].target for some in wanted.values())  # handed on as it is, so that we know its id
        self.names.hold(nodes, wanted, targets)
        found = gc.get_referrers(*targets)
        above: list[holding.Node] = []
        self.names.hold(found, above, *wanted.values())
        for holder in found[:_REFERRERS]:
            if id(holder) in self.names.own or holding.is_own(holder):
                continue
            for key in {id(one) for one in gc.get_referents(holder)}.intersection(wanted):
                for node in wanted[key]:
                    self._explain(holder, node, above)
        self._running({key for key in wanted if not any(id(node.target) == key and node.met for node in nodes)}, wanted)
        settled = {origin for origin, places in self.places.items() if any(place.rank % 10 < 4 for place in places)}
        self.step = [node for node in above if node.origin not in settled]
        self.names.hold(self.step)

    def _explain(self, holder: Any, node: holding.Node, above: list[holding.Node]) -> None:
        """Take a name from the holder, or go on above it."""
        node.met = True
        for found in holding.explain(holder, node, self.names.spaces):
            if isinstance(found, Place):
                self.places.setdefault(node.origin, []).append(found)
            elif (node.origin, id(found.target)) not in self.seen:
                self.seen.add((node.origin, id(found.target)))
                above.append(found)
        if node.origin not in self.holders and type(holder) not in holding.PLAIN:
            self.holders[node.origin] = bounded.type_name(type(holder))

    def _running(self, lost: set[int], wanted: dict[int, list[holding.Node]]) -> None:
        """Look into the frames that run, which are no objects of the collector's on Python 3.11 and later."""
        if not lost:
            return
        for frame in holding.running_frames():
            for key, name in holding.locals_of(frame, lost):
                for node in wanted[key]:
                    place = holding.local(frame.f_code, frame.f_globals, name, node)
                    self.places.setdefault(node.origin, []).append(place)

    def answer(self, *, finished: bool) -> dict[int, Place]:
        """Return the best place of each; where all was looked through, the holder's type has to do."""
        found = {}
        for origin, kind in self.kinds.items():
            places = self.places.get(origin)
            if places:
                best = min(place.rank for place in places)
                found[origin] = _cut(_definer(sorted({p.name: p for p in places if p.rank == best}.items())))
            elif finished:
                holder = self.holders.get(origin, "nothing that names it")
                found[origin] = Place(_short(f"{kind} at {holder}"), 99, "")
        return found


def _definer(places: list[tuple[str, Place]]) -> Place:
    """Choose the module that assigns a global among those that import it; the first by name where none is seen to."""
    if len(places) > 1 and not places[0][1].rank:
        for _, place in places:
            if _assigns(place):
                return place
    return places[0][1]


def _assigns(place: Place) -> bool:
    path, name = source_of(place.module), place.name.partition(":")[2].partition("[")[0]
    if path is None:
        return False
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (pathlib would be imported into the program)
            lines = file.read(1 << 20).splitlines()
    except OSError:
        return False
    return any(line.startswith(name.encode()) and line[len(name) :].lstrip()[:1] in {b"=", b":"} for line in lines)


def source_of(module: str) -> str | None:
    """Return the path of a module's source; None when it has none that is a .py."""
    path = getattr(sys.modules.get(module), "__file__", None)
    return path if isinstance(path, str) and path.endswith(".py") else None


def _cut(place: Place) -> Place:
    return place._replace(name=_short(place.name))


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
