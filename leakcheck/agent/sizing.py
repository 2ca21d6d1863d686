"""How large a container's entries are, measured by a pympler that the asker lends."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any

from . import bounded

_SAMPLED = 20
"""Newest entries measured of each container."""
_DEEP = 12
"""References followed from an entry: a session that knows the application must not count the application."""
_PLAIN = (
    "pympler cannot be imported here ({}): sizes are sys.getsizeof of the entries alone, without what they refer to"
)


def sizes(containers: dict[str, list[Any]], lend: str, seconds: float) -> dict[str, Any]:
    """Return `{"sizes": {name: {"entries", "bytes_per_entry"}}, "problem"}` for the newest entries of each.

    What entries share is counted once, for the first. seconds: no further entry is begun after them. Asking may run
    `__sizeof__` of the program's own. Does not see: memory of C libraries that no `__sizeof__` tells of.
    """
    until = time.monotonic() + seconds
    asizeof, problem = _borrow(lend)
    found: dict[str, Any] = {}
    for name, things in containers.items():
        entries = newest(max(things, key=_length))
        try:
            done, total = _measure(entries, asizeof, until)
        except Exception as error:  # noqa: BLE001 (the program's own code may raise anything: said, not hidden)
            problem = f"entries of {name}: {type(error).__name__}: {error}"
            continue
        if done:
            found[name] = {"entries": done, "bytes_per_entry": total / done}
    if problem is None and len(found) < len(containers):
        problem = "no entry, or no time, for {}".format(", ".join(sorted(set(containers) - set(found))))
    return {"sizes": found, "problem": problem}


def newest(container: Any) -> list[tuple[Any, ...]]:
    """Return up to 20 entries, the newest where the type keeps an order: (key, value) of a dict, else (item,).

    Nothing of the program's own is called: no `__iter__`, `__hash__` or `__eq__`.
    """
    bases = bounded.mro(type(container))
    if dict in bases:
        return list(islice(reversed(dict.items(container)), _SAMPLED))
    if list in bases:
        return [(item,) for item in list.__getitem__(container, slice(-_SAMPLED, None))]
    if deque in bases:
        return [(item,) for item in islice(deque.__reversed__(container), _SAMPLED)]
    if set in bases:
        return [(item,) for item in islice(set.__iter__(container), _SAMPLED)]
    return []


def _length(thing: Any) -> int:
    measure = bounded.length_of(type(thing))
    return 0 if measure is None else measure(thing)


def _measure(entries: list[tuple[Any, ...]], asizeof: Any, until: float) -> tuple[int, int]:
    """Return how many entries were measured in time, and their bytes."""
    sizer: Callable[..., Any] = _shallow
    if asizeof is not None:
        sizer = asizeof.Asizer(limit=_DEEP).asizeof
    total = done = 0
    for entry in entries:
        if time.monotonic() > until:
            break
        total += sizer(*entry)
        done += 1
    return done, total


def _shallow(*things: Any) -> int:
    return sum(map(sys.getsizeof, things))


def _borrow(lend: str) -> tuple[Any, str | None]:
    """Import pympler with that folder on the path only for as long as it takes; None and why where it fails."""
    sys.path.append(lend)
    try:
        from pympler import asizeof  # noqa: PLC0415 (lent: not there before)
    except Exception as error:  # noqa: BLE001 (another Python's pympler may fail in any way: said, not hidden)
        return None, _PLAIN.format(error)
    finally:
        if lend in sys.path:  # the last one is ours, should the program have it too
            del sys.path[len(sys.path) - 1 - sys.path[::-1].index(lend)]
        sys.path_importer_cache.pop(lend, None)
    return asizeof, None
