"""What a container's type tells about it without running the program's code: its length, its bound, its type's name."""

from __future__ import annotations

import functools
import sys
import types
import weakref
from collections import UserDict, UserList, deque
from typing import Any, Callable, NamedTuple  # noqa: UP035 (Python 3.8)

MOST_NUMBERS = 8
"""Integers of an owner that are told, and of its settings: one of them may be the bound."""
_MOST_SETTINGS = 64
"""Entries: a larger dict is no table of settings."""
_TELLING = ("max", "limit", "size", "cap", "bound")
"""Parts of names that speak of a bound (`maxlen` and `capacity` are among them)."""
_CACHED = type(functools.lru_cache(maxsize=1)(len))
_WEAK = (weakref.WeakValueDictionary, weakref.WeakKeyDictionary, weakref.WeakSet)
_QUEUES = (("queue", "Queue", "queue"), ("asyncio.queues", "Queue", "_queue"))
"""Module, class, and the attribute that holds the entries."""


class Bound(NamedTuple):
    """The most entries that a container can have, as far as it is known."""

    value: int | None = None
    by: str = ""
    """"maxlen", "maxsize", or "" where there is none."""
    numbers: dict[str, int] = {}  # noqa: RUF012 (never written to)


def mro(kind: type) -> tuple[type, ...]:
    """Return the base classes without asking a metaclass."""
    found: tuple[type, ...] = type.__getattribute__(kind, "__mro__")
    return found


def _lru_length(wrapper: Any) -> int:
    length: int = _CACHED.cache_info(wrapper).currsize
    return length


_LENGTHS: dict[type, Callable[[Any], int]] = {
    dict: dict.__len__,
    list: list.__len__,
    set: set.__len__,
    deque: deque.__len__,
    bytearray: bytearray.__len__,
    _CACHED: _lru_length,
}


def length_of(kind: type) -> Callable[[Any], int] | None:
    """Return what measures objects of this type; None for what is no container that can grow.

    A `__len__` of the program's own is never called. Does not see: containers written in C by others.
    """
    for base in mro(kind):
        if base in _EXACT:
            return _LENGTHS[base]
    return None


_EXACT = frozenset(_LENGTHS)


def is_plain(kind: type) -> bool:
    """Say whether `len` of such an object runs no code of the program's, and may be called instead."""
    measure = length_of(kind)
    return measure is not None and not is_cached(kind) and getattr(kind, "__len__", None) is measure


def is_weak(kind: type) -> bool:
    """Say whether objects of this type hold their entries weakly: what they hold is held, and counted, elsewhere."""
    return any(base in mro(kind) for base in _WEAK)


def is_cached(kind: type) -> bool:
    """Say whether it is the wrapper that functools.lru_cache makes."""
    return _CACHED in mro(kind)


def inner_attribute(owner: Any) -> str | None:
    """Return the attribute under which a container in disguise keeps its entries (a queue's deque); None if it is none.

    Such an owner is named by its own place, not by its class.
    """
    bases = mro(type(owner))
    if UserDict in bases or UserList in bases:
        return "data"
    if is_cachetools(type(owner)):
        return "_Cache__data"
    for module, name, attribute in _QUEUES:
        if getattr(sys.modules.get(module), name, None) in bases:
            return attribute
    return None


def is_cachetools(kind: type) -> bool:
    """Say whether a class, or what it is derived from, is one of cachetools' caches."""
    return any(base.__name__ == "Cache" and str(base.__module__).startswith("cachetools") for base in mro(kind))


def bound_of(container: Any, owner: Any = None, names: dict[str, Any] | None = None) -> Bound:
    """Read a container's bound off its type or its owner; integers of the owner, or of its module, where there is none.

    names: the globals of the module that owns it. Integers of the container itself, where its class is the program's,
    are among the numbers. Does not see: bounds kept by the program's own code; the owner's
    properties, which are never called.
    """
    bases = mro(type(container))
    if deque in bases and deque.maxlen.__get__(container) is not None:
        return Bound(deque.maxlen.__get__(container), "maxlen")
    if is_cached(type(container)):
        most = _CACHED.cache_info(container).maxsize
        return Bound() if most is None else Bound(most, "maxsize")
    own = {} if type(container) in _LENGTHS else _numbers(instance_dict(container) or {})
    if owner is None:
        return Bound(numbers={**_numbers({k: v for k, v in list((names or {}).items()) if _tells(k)}), **own})
    most = _most(container, owner)
    if most:
        return Bound(most, "maxsize")
    mine = attributes_of(owner)
    return Bound(numbers={**_numbers(_settings(mine)), **_numbers(mine), **own})


def _settings(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return what the owner's own dicts and objects hold by name: `self.settings["most"]`, `self.options.most`."""
    found: dict[str, Any] = {}
    for name, value in attributes.items():
        if name[:2] == "__" or (type(value) in _LENGTHS and type(value) is not dict):
            continue
        inner = value if type(value) is dict else instance_dict(value) if not isinstance(value, type) else None
        if inner is not None and len(inner) <= _MOST_SETTINGS:
            found.update({key: one for key, one in list(inner.items()) if type(key) is str})
    return found


def _most(container: Any, owner: Any) -> int | None:
    """Return the maxsize of a queue or of a cachetools cache whose sizes are counts; None where there is none."""
    inner, own = inner_attribute(owner), attributes_of(owner)
    if inner == "_Cache__data":  # its properties would expire entries: only the attributes below are read
        most, filled = own.get("_Cache__maxsize"), own.get("_Cache__currsize")
        counts = filled == dict.__len__(container) if isinstance(container, dict) else False
        return int(most) if counts and isinstance(most, (int, float)) and most != float("inf") else None
    if inner in {"queue", "_queue"}:
        most = own.get("maxsize" if inner == "queue" else "_maxsize")
        return most if isinstance(most, int) and most > 0 else None
    return None


def attributes_of(owner: Any) -> dict[str, Any]:
    """Return an instance's attributes, and its classes' plain ones below them, without running the program's code."""
    found: dict[str, Any] = {}
    for base in reversed(mro(type(owner))[:-1]):
        found.update(type.__getattribute__(base, "__dict__"))
    for base in mro(type(owner)):
        for name, slot in list(type.__getattribute__(base, "__dict__").items()):
            if type(slot) is types.MemberDescriptorType:
                try:
                    found[name] = slot.__get__(owner)
                except (AttributeError, TypeError):  # not set
                    found.pop(name, None)
    found.update(instance_dict(owner) or {})
    return found


def instance_dict(owner: Any) -> dict[str, Any] | None:
    """Return an object's own attributes; None where it has none or where its class hides them."""
    if any("__dict__" in (type.__getattribute__(base, "__dict__")) for base in mro(type(owner))):
        try:
            found = object.__getattribute__(owner, "__dict__")
        except Exception:  # noqa: BLE001 (a property of the program's own may raise anything)
            return None
        return found if type(found) is dict else None
    return None


def _tells(name: str) -> bool:
    return any(part in name.lower() for part in _TELLING)


def _numbers(attributes: dict[str, Any]) -> dict[str, int]:
    """Pick the integers that can be a bound, those first whose names say so."""
    found = [
        (name, value) for name, value in attributes.items() if type(value) is int and value >= 2 and name[:2] != "__"
    ]
    found.sort(key=lambda pair: not _tells(pair[0]))
    return dict(found[:MOST_NUMBERS])


def type_name(kind: type) -> str:
    """Return `dict`, `collections.OrderedDict`, `app.cache.Sessions`."""
    module, name = type.__getattribute__(kind, "__module__"), type.__getattribute__(kind, "__qualname__")
    plain = str(name).replace("<locals>.", "")
    return plain if module == "builtins" else f"{module}.{plain}"
