"""The containers that are followed: held until nobody else holds them, so that a length costs nothing to read."""

from __future__ import annotations

import sys
import weakref
from typing import Any

from . import bounded, naming

MOST = 64
"""Containers followed at a time."""


class Followed:
    """One container. Of those that can be referred to weakly, that is all we do."""

    __slots__ = (
        "_strong",
        "_weak",
        "attribute",
        "bound",
        "growth",
        "holder",
        "length",
        "module",
        "name",
        "owner",
        "type",
    )

    def __init__(self, thing: Any, growth: int, holder: Any) -> None:
        """growth: entries that it grew by so far; holder: what holds it if the collector cannot tell."""
        self._strong: Any = thing
        self._weak: Any = None
        self.growth = growth
        self.holder = holder
        self.owner: Any = None
        self.attribute = ""
        self.name = ""
        """"" until it is named."""
        self.module = ""
        self.bound = bounded.Bound()
        self.type = bounded.type_name(type(thing))
        self.length = _length(thing)
        try:
            self._weak = weakref.ref(thing)
        except TypeError:  # exact dicts, lists and byte arrays
            return
        self._strong = None

    def thing(self) -> Any:
        """Return the container; None when it is gone."""
        if self._weak is not None:
            return self._weak()
        if self.owner is not None:
            owner = self.owner()
            return None if owner is None else _still(owner, self.attribute, self.type)
        return self._strong

    def is_alone(self) -> bool:
        """Say whether nobody else holds it."""
        if self._strong is not None:
            return sys.getrefcount(self._strong) <= _OURS
        return self.thing() is None

    def settle(self, place: naming.Place, names: dict[str, Any] | None) -> None:
        """Take its name; from now on hold its owner weakly instead, so that a cycle of both can go."""
        thing = self.thing()
        if thing is None:
            return
        self.name, self.module, self.holder = place.name, place.module, None
        self.bound = bounded.bound_of(thing, place.owner, names)
        if place.ignored:
            self.module = IGNORED
        if self._strong is not None and place.attribute:
            try:
                owner = weakref.ref(place.owner)
            except TypeError:  # slots without __weakref__
                return
            if _still(place.owner, place.attribute, self.type) is thing:
                self.owner, self.attribute, self._strong = owner, place.attribute, None


IGNORED = "-"
"""In the place of a module: a container that only serves another one."""


def _still(owner: Any, attribute: str, kind: str) -> Any:
    """Return the container that an owner has under the attribute now; None when it has another kind of thing there."""
    found = bounded.attributes_of(owner).get(attribute)
    return found if found is not None and bounded.type_name(type(found)) == kind else None


def _length(thing: Any) -> int:
    measure = bounded.length_of(type(thing))
    return 0 if measure is None else measure(thing)


_OURS = 0
_probe = Followed([], 0, None)
_OURS = sys.getrefcount(_probe._strong)  # noqa: SLF001 (how many references our own way of holding makes)
del _probe


class Follower:
    """All that is followed."""

    def __init__(self) -> None:
        self._all: list[Followed] = []

    def held(self) -> set[int]:
        """Return the ids of the followed containers, and of their owners."""
        return {id(thing) for one in self._all for thing in (one.thing(), one.holder) if thing is not None}

    def drop(self) -> None:
        """Let go of what nobody else holds."""
        self._all[:] = [one for one in self._all if not one.is_alone()]

    def follow(self, thing: Any, growth: int, holder: Any) -> None:
        """Follow a container, if need be in the place of the one that grew least."""
        for one in self._all:
            if one.thing() is thing:
                one.growth += growth
                return
        if len(self._all) >= MOST:
            least = min(range(MOST), key=lambda n: self._all[n].growth)
            if self._all[least].growth < growth:
                self._all[least] = Followed(thing, growth, holder)
            return
        self._all.append(Followed(thing, growth, holder))

    def name(self, own: set[int], most: int, until: float) -> None:
        """Name up to `most` of those without a name, those that grew most first, until that time.

        Each of these gets as good a name as could be found, and keeps it.
        """
        unnamed = sorted((one for one in self._all if not one.name), key=lambda one: -one.growth)[:most]
        if not unnamed:
            return
        own.update((id(self._all), id(unnamed)))
        things = [(one.thing(), one.holder) for one in unnamed]
        places = naming.Names(own, until).find([pair for pair in things if pair[0] is not None])
        for one in unnamed:
            place = places.get(id(one.thing()))
            if place is not None:
                module = sys.modules.get(place.module)
                one.settle(place, None if module is None else vars(module))

    def read(self) -> list[dict[str, Any]]:
        """Return the registries of the wire; containers of one name are one, their lengths and bounds added."""
        self.drop()
        merged: dict[str, dict[str, Any]] = {}
        for one in self._all:
            thing = one.thing()
            if thing is None or one.module == IGNORED:
                continue
            one.length = _length(thing)
            name = one.name or f"{one.type} not named yet"
            known = merged.get(name)
            if known is None:
                merged[name] = _row(one, name)
                continue
            known["length"] += one.length
            known["containers"] += 1
            both = known["bound"] is not None and one.bound.value is not None
            known["bound"] = known["bound"] + one.bound.value if both else None
            known["bound_by"] = known["bound_by"] if both else ""
            known["numbers"] = {k: v for k, v in known["numbers"].items() if one.bound.numbers.get(k) == v}
        return list(merged.values())

    def by_name(self, names: list[str]) -> dict[str, list[Any]]:
        """Return the containers of these names."""
        found: dict[str, list[Any]] = {}
        for one in self._all:
            thing = one.thing()
            if one.name in names and thing is not None and one.module != IGNORED:
                found.setdefault(one.name, []).append(thing)
        return found


def _row(one: Followed, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": one.type,
        "length": one.length,
        "containers": 1,
        "bound": one.bound.value,
        "bound_by": one.bound.by,
        "numbers": one.bound.numbers,
        "file": naming.source_of(one.module),
        "line_hint": None,
    }
