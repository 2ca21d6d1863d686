"""What one question reads of the process it is asked in: exact counters first, then what allocates.

Loaded with the first question. Python 3.8 syntax, standard library only. `threading` and `asyncio` are never imported
here: the first import of `threading` in a thread other than the main one makes that thread the main one.

Does not see: memory that is not malloc's (`malloc` is the only count of native memory, and only where libc has
mallinfo2). What the census remembers, bounded, is in `blocks` and not in `own`.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
import time
from collections import Counter

from . import core

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from . import census

    Json = dict[str, Any]

MANY = 2_000_000
"""Tracked objects above which types are left out: counting them would stop the program for a fifth of a second."""
TYPES = 12
"""How many of the types that grew most are told."""
LONGEST = 10.0
"""Seconds of census or sizing that can be asked for."""
NAMELESS = "(not of threading)"
"""Threads that run Python without the module's knowledge, together."""

_now = time.perf_counter
_type_name = type.__dict__["__qualname__"].__get__
_type_module = type.__dict__["__module__"].__get__


class Questions:
    """Answers in one process; remembers what the first floor saw."""

    def __init__(self, agent: core.Agent) -> None:
        self.agent = agent
        self.problems: list[str] = []
        self.pauses: dict[str, float] = {}
        self.first: dict[str, int] | None = None
        """How many objects of each type there were at the first floor."""
        self.census: census.Census | None = None
        self.mallinfo = _mallinfo()
        self._part("followed", self._registries)  # now, so that what it takes is known as the agent's own

    def answer(self, line: bytes) -> Json:
        """Return what is asked for; what could not be read is null, and its reason in `problem`."""
        self.problems, self.pauses = [], {}
        if len(line) > core.LINE:
            return {"v": 1, "problem": f"a question of more than {core.LINE} bytes"}
        try:
            asked = json.loads(line)
        except (ValueError, RecursionError) as error:
            return {"v": 1, "problem": f"no question in JSON: {error}"}
        if isinstance(asked, dict) and asked.get("ask") == "leave":
            self.agent.leaving = True
            return {"v": 1, "problem": None}
        if not isinstance(asked, dict) or asked.get("ask") not in ("floor", "sizes"):
            return {"v": 1, "problem": "ask is neither floor nor sizes"}
        answer = self._floor(asked) if asked["ask"] == "floor" else self._sizes(asked)
        answer["problem"] = "; ".join(self.problems) or None
        return answer

    def _registries(self) -> census.Census:
        """Return the census of this process. Apart, so that exact counts are told even where it fails."""
        if self.census is None:
            from . import census  # noqa: PLC0415

            self.census = census.Census()
        return self.census

    def _part(self, name: str, read: Callable[[], Any], otherwise: Any = None) -> Any:
        """Read one part; what it costs goes to `pauses`, what goes wrong to `problems`."""
        began = _now()
        try:
            return read()
        except Exception as error:  # noqa: BLE001 - told in the answer, never to the program
            self.problems.append(f"{name}: {type(error).__name__}: {error}")
            return otherwise
        finally:
            self.pauses[name] = round(self.pauses.get(name, 0.0) + _now() - began, 6)

    def _floor(self, asked: Json) -> Json:
        seconds = self._seconds(asked, "census")
        self._part("collect", gc.collect)
        began = _now()
        blocks = sys.getallocatedblocks()
        malloc = self.mallinfo()
        self.pauses["count"] = _now() - began
        answer: Json = {"v": 1, "pid": os.getpid(), "python": ".".join(map(str, sys.version_info[:3]))}
        answer.update(own=self._own(), blocks=blocks, malloc=malloc)
        self._counted(answer)
        answer["census"] = self._part("census", lambda: self._registries().look(seconds)) if seconds else None
        answer["registries"] = self._part("followed", lambda: self._registries().followed(), [])
        answer["pauses"] = {"census": 0.0, **self.pauses}
        return answer

    def _counted(self, answer: Json) -> None:
        """Add what is counted of all objects; lets go of every one of them before it returns."""
        objects = self._part("count", gc.get_objects, [])
        own = self.agent.objects
        answer["modules"] = self._part("count", _modules)
        answer["objects"] = len(objects) - own
        answer["garbage"] = self._part("count", lambda: len(gc.garbage))
        answer["tasks"] = self._part("count", lambda: _tasks(objects))
        answer["threads"] = self._part("count", lambda: _threads(core.ident()), {})
        answer["types"] = self._part("types", lambda: self._grown(objects)) if len(objects) <= MANY else None

    def _grown(self, objects: list[object]) -> dict[str, int]:
        """Return the types that grew most since the first floor. Kept by name: a kept type would never be freed."""
        counts: dict[str, int] = {}
        for kind, count in Counter(map(type, objects)).items():
            name = f"{_type_module(kind)}.{_type_name(kind)}"
            counts[name] = counts.get(name, 0) + count
        if self.first is None:
            self.first = counts
        first = self.first
        grown = ((name, count - first.get(name, 0)) for name, count in counts.items())
        return dict(sorted((item for item in grown if item[1] > 0), key=lambda item: -item[1])[:TYPES])

    def _own(self) -> Json:
        listener = self.agent.listener  # None, or another one, where the program forked a moment ago
        inode, thread = (listener.identity[1], listener.native) if listener else (0, 0)
        return {"inode": inode, "thread": thread, "blocks": self.agent.blocks}

    def _sizes(self, asked: Json) -> Json:
        names, lend = asked.get("names"), asked.get("lend")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.problems.append("names is not a list of names")
            return {"v": 1, "sizes": {}}
        if not isinstance(lend, str):
            self.problems.append("lend is no folder")
            return {"v": 1, "sizes": {}}
        seconds = self._seconds(asked, "seconds")
        told = self._part("sizes", lambda: self._registries().sizes(names, lend, seconds), {})
        if told.get("problem"):
            self.problems.append(str(told["problem"]))
        return {"v": 1, "sizes": told.get("sizes", {})}

    def _seconds(self, asked: Json, key: str) -> float:
        """Return the seconds asked for, 0 with a problem where that is no such number."""
        seconds = asked.get(key, 0)
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= LONGEST:
            self.problems.append(f"{key} is not a number of seconds from 0 to {LONGEST:g}")
            return 0.0
        return float(seconds)


def _modules() -> int:
    """Count loaded modules without the agent's own."""
    return sum(not str(name).startswith("_leakcheck_agent") for name in list(sys.modules))


def _threads(own: int) -> dict[str, int]:
    """Count threads by name. `threading`'s lock is not taken: the program may hold it as long as it likes."""
    active = getattr(sys.modules.get("threading"), "_active", None) or {}
    known = active.copy()
    names = Counter(str(getattr(thread, "_name", NAMELESS)) for ident, thread in known.items() if ident != own)
    others = sum(ident != own and ident not in known for ident in list(sys._current_frames()))  # noqa: SLF001
    if others:
        names[NAMELESS] += others
    return dict(names)


def _tasks(objects: list[object]) -> dict[str, int] | None:
    """Count pending asyncio tasks of all loops and threads by what they run; None without asyncio."""
    module = sys.modules.get("asyncio.tasks")
    if module is None or not hasattr(module, "all_tasks"):  # not imported, or not yet to its end
        return None
    names: Counter[str] = Counter()
    for task in _every_task(module, objects):
        if not task.done():
            run = task.get_coro()
            names[str(getattr(run, "__qualname__", None) or type(run).__qualname__)] += 1
    return dict(names)


def _every_task(module: Any, objects: list[object]) -> Iterable[Any]:
    """Return each task once, as asyncio itself keeps them: weak sets, a set of eager ones, on 3.14 lists in C."""
    found = {}
    for name in ("_all_tasks", "_scheduled_tasks"):
        # One call in C copies the set: asyncio's own iteration fails while another thread adds to it.
        for held in list(getattr(getattr(module, name, None), "data", ())):
            task = held()
            if task is not None:
                found[id(task)] = task
    found.update((id(task), task) for task in list(getattr(module, "_eager_tasks", ())))
    if sys.version_info >= (3, 14):
        bases = (module.Task, module._PyTask)  # noqa: SLF001
        kinds = {kind for kind in set(map(type, objects)) if issubclass(kind, bases)}
        found.update((id(task), task) for task in objects if type(task) in kinds)
    return found.values()


def _mallinfo() -> Callable[[], int | None]:
    """Return what reads the bytes that malloc has given out, mapped ones included; None without mallinfo2."""

    class Info(ctypes.Structure):
        """struct mallinfo2 of malloc.h: ten size_t."""

        _fields_ = [
            (name, ctypes.c_size_t)
            for name in (
                *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
                *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
            )
        ]

    try:
        function = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError):  # another libc, or glibc before 2.33
        return lambda: None
    function.restype = Info

    def read() -> int:
        info = function()
        return int(info.uordblks + info.hblkhd)

    return read
