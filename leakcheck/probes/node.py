"""What V8 and libuv hold inside each Node process."""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Iterable
from typing import Any

from leakcheck.model.reading import Holder, Reading, Resource, Statistic
from leakcheck.probes import MOST_HOLDERS, CannotReadError, Setting
from leakcheck.probes._inspector import NAMES, Inspector, InspectorError, NotYetError, attach, environment, listening
from leakcheck.probes._look import ProcessLook
from leakcheck.targets.log import visible
from leakcheck.targets.tree import start_time

__all__ = ["Probe", "environment"]

_UNREAD = (CannotReadError, ProcessLookupError, FileNotFoundError, PermissionError)
_MARK = b"napi_module_register\0"
"""A symbol that every Node exports for its add-ons."""
_MOST_STALL = 4.0
"""Seconds that the program may be stopped to find its collections."""
_SEARCH_PER_COLLECTION = 10
"""How much longer finding all objects takes than a garbage collection: 5 to 13 times on heaps of 3 to 50 MB."""
_SHARE = 0.05
"""Of the time, for finding collections."""
_RESOURCES = {
    "node.heap": ("bytes", Statistic.LEVEL, "JavaScript heap in use after a collection", True),
    "node.external": ("bytes", Statistic.LEVEL, "memory outside the heap held by JavaScript, Buffers included", True),
    "node.entries": ("entries", Statistic.COUNT, "entries of all Maps and Sets", True),
    "node.arrays": ("entries", Statistic.COUNT, "elements of arrays longer than 64", False),
    "node.handles": ("handles", Statistic.COUNT, "what keeps Node's event loop alive", True),
}
POSSIBLE = tuple(
    Resource(name=name, unit=unit, statistic=statistic, per_process=True, title=title, judged=judged)
    for name, (unit, statistic, title, judged) in _RESOURCES.items()
)
"""What a Node process can tell."""
_BASICS = """(() => {
  const memory = process.memoryUsage(), count = {__proto__: null};
  const active = process.getActiveResourcesInfo?.();
  for (const one of active ?? []) count[one] = (count[one] ?? 0) + 1;
  return {heap: memory.heapUsed, external: memory.external, handles: active ? count : null};
})()"""
_FIND = """function () {
  const sizeOf = (kind) => Object.getOwnPropertyDescriptor(kind.prototype, 'size').get;
  const mapSize = sizeOf(Map), setSize = sizeOf(Set), valuesOf = {map: Map.prototype.values, set: Set.prototype.values};
  const own = Object.getOwnPropertyDescriptor, above = Object.getPrototypeOf, isArray = Array.isArray;
  const classOf = (one) => {
    for (let at = above(one); at !== null; at = above(at)) {
      const made = own(at, 'constructor')?.value;
      const name = typeof made === 'function' ? own(made, 'name')?.value : null;
      if (typeof name === 'string') return name || 'a class without name';
    }
    return 'object without prototype';
  };
  const kindOf = (one) => one === null ? 'null' : typeof one === 'object' ? classOf(one) : typeof one;
  const sizes = {
    map: (one) => mapSize.call(one), set: (one) => setSize.call(one), array: (one) => one.length > 64 ? one.length : 0,
  };
  const firstOf = (one, kind) => kind === 'array' ? own(one, 0)?.value : valuesOf[kind].call(one).next().value;
  const owners = new Map();
  let followed = [];
  for (let index = 0; index < this.length; index++) {
    const one = this[index];
    const kind = isArray(one) ? 'array' : one instanceof Map ? 'map' : one instanceof Set ? 'set' : null;
    if (kind === null || (kind === 'array' && one.length <= 64)) continue;
    try { sizes[kind](one); } catch { continue; }  // a prototype of such collections, and none itself
    owners.set(one, null);
    followed.push([one, kind]);
  }
  for (let index = 0; this.length <= 50000 && index < this.length; index++) {
    const holder = this[index];
    if (isArray(holder) || ArrayBuffer.isView(holder)) continue;
    for (const key of Object.keys(holder)) {
      const value = own(holder, key)?.value;
      if (owners.get(value) === null)
        owners.set(value, (holder === globalThis ? 'globalThis' : classOf(holder)) + '.' + key);
    }
  }
  followed = followed.map(([one, kind]) => [new WeakRef(one), kind, owners.get(one)]);
  const nameOf = (one, kind, owner) => {
    try {
      const what = classOf(one) + (sizes[kind](one) ? ' of ' + kindOf(firstOf(one, kind)) : '');
      return (owner === null ? what : owner + ': ' + what).slice(0, 120);
    } catch { return 'a collection whose first value cannot be looked at'; }  // a revoked Proxy
  };
  const summed = (found) => {
    const byName = new Map();
    let value = 0;
    for (const [size] of found) value += size;
    for (const [size, one, kind, owner] of found.sort((a, b) => b[0] - a[0]).slice(0, 1000)) {
      const name = nameOf(one, kind, owner);
      byName.set(name, (byName.get(name) ?? 0) + size);
    }
    return {value, holders: [...byName].sort((a, b) => b[1] - a[1]).slice(0, 12)};
  };
  return () => {
    const entries = [], arrays = [];
    followed = followed.filter(([weak, kind, owner]) => {
      const one = weak.deref();
      if (one === undefined) return false;
      const size = sizes[kind](one);
      if (size) (kind === 'array' ? arrays : entries).push([size, one, kind, owner]);
      return true;
    });
    return {'node.entries': summed(entries), 'node.arrays': summed(arrays)};
  };
}"""


class Probe:
    """Reads heap, external memory, collections and handles of Node processes through Node's own inspector.

    `prepare` opens it with SIGUSR1, which makes Node print two lines to stderr and adds a thread and some descriptors:
    it is to be called before anything else is read of a new process. A reading collects garbage first (10 ms for a
    heap of 3 MB, 0.1 to 0.4 s for 50 MB). Collections are found by looking through the whole heap (0.06 s, 0.8 to
    2 s), at first and then as often as takes 5 % of the time, and followed in between.

    Does not see: worker threads and other contexts of V8; entries of plain objects, WeakMaps and private native
    structures; between two searches, collections that are newer than the last; any collection, where a search would
    stop the program for over 4 s; handles that are unreferenced. A program that handles SIGUSR1 itself gets one.
    """

    def __init__(self, setting: Setting) -> None:
        self._inside = setting.agents is not None
        self._known: dict[tuple[int, int], _Node | str] = {}
        """By pid and start time: the conversation, or why there is none."""
        self._seen = False
        self._is_node: dict[tuple[int, int], bool] = {}
        """By device and inode of a program."""

    def resources(self) -> tuple[Resource, ...]:
        """Five resources, once there was a Node process to look into."""
        return POSSIBLE if self._seen else ()

    def prepare(self, looks: Iterable[ProcessLook]) -> None:
        """Attach to Node processes that are new, and let go of those that are gone.

        What fails is told by `read_process`.
        """
        every = {(look.pid, start_time(look.pid) or 0): look for look in looks}
        before: dict[int, list[int]] = {}
        for identity, look in every.items():
            with contextlib.suppress(*_UNREAD):
                if identity not in self._known and self._runs_node(look):
                    before[look.pid] = listening(look.pid)
        for look in every.values():
            with contextlib.suppress(*_UNREAD):
                self._node_of(look, before.get(look.pid))
        for gone in self._known.keys() - every.keys():
            node = self._known.pop(gone)
            if isinstance(node, _Node):
                node.close()

    def read_process(self, look: ProcessLook) -> Iterable[Reading]:
        """Give the readings of a Node process, none of another. Raises CannotReadError."""
        node = self._node_of(look)
        if node is None:
            return
        try:
            yield from node.read()
        except InspectorError as error:
            node.close()
            identity = look.pid, start_time(look.pid) or 0
            if identity not in self._known:
                raise ProcessLookupError(look.pid) from error
            self._known[identity] = str(error)
            raise CannotReadError(str(error)) from error

    def close(self) -> None:
        """Detach from all."""
        for node in self._known.values():
            if isinstance(node, _Node):
                node.close()
        self._known.clear()

    def _node_of(self, look: ProcessLook, before: list[int] | None = None) -> _Node | None:
        if not self._runs_node(look):
            return None
        self._seen = True
        identity = look.pid, start_time(look.pid) or 0
        if identity not in self._known:
            try:
                self._known[identity] = _Node(attach(look, before))
            except NotYetError as error:
                raise CannotReadError(str(error)) from error
            except InspectorError as error:
                self._known[identity] = str(error)
        node = self._known[identity]
        if isinstance(node, str):
            raise CannotReadError(node)
        return node

    def _runs_node(self, look: ProcessLook) -> bool:
        """Whether it may be looked into and is Node, by the name of its program and by what is in it."""
        path = f"/proc/{look.pid}/exe"
        if not self._inside or os.path.basename(os.readlink(path).removesuffix(" (deleted)")) not in NAMES:
            return False
        status = os.stat(path)
        key = status.st_dev, status.st_ino
        if key not in self._is_node:
            self._is_node[key] = _marked(path) or _uses_libnode(look.pid)
        return self._is_node[key]


class _Node:
    """One process: what is followed in it, and what looking for that costs."""

    def __init__(self, inspector: Inspector) -> None:
        """Find its collections for the first time. Raises InspectorError."""
        self._inspector = inspector
        self._following: str | None = None
        """The remote function that reads what is followed."""
        self._stall = 0.0
        self._searched = 0.0
        self._told = False
        try:
            self._inspector.call("HeapProfiler.collectGarbage")  # the first takes longer
            begun = time.monotonic()
            self._inspector.call("HeapProfiler.collectGarbage")
            self._expected = _SEARCH_PER_COLLECTION * (time.monotonic() - begun)
            if self._expected <= _MOST_STALL:
                self._search()
        except InspectorError:
            self.close()
            raise

    def close(self) -> None:
        """Detach."""
        self._inspector.close()

    def read(self) -> Iterable[Reading]:
        """Read all. Raises InspectorError, and CannotReadError once for what is never read."""
        self._inspector.call("HeapProfiler.collectGarbage")
        basics = self._inspector.evaluate(_BASICS)
        yield Reading(resource="node.heap", value=basics["heap"])
        yield Reading(resource="node.external", value=basics["external"])  # Buffers are in it
        if basics["handles"] is not None:
            yield Reading(resource="node.handles", value=sum(basics["handles"].values()), holders=_held(basics))
        if self._following is not None:
            if self._stall <= _SHARE * (time.monotonic() - self._searched) and self._stall <= _MOST_STALL:
                self._search()
            yield from self._followed()
        missing = self._missing(handles=basics["handles"] is not None)
        if missing and not self._told:
            self._told = True
            raise CannotReadError(missing)

    def _missing(self, *, handles: bool) -> str:
        reasons = [] if handles else ["this Node cannot list its handles (17.3 and later can)"]
        if self._following is None:
            reasons.append(f"finding its collections would stop the program for about {self._expected:.0f} s")
        return "; ".join(reasons)

    def _search(self) -> None:
        """Find all collections anew, and measure for how long that stops the program."""
        begun = time.monotonic()
        call = self._inspector.call
        call("Runtime.releaseObjectGroup", objectGroup="leakcheck")
        every = call("Runtime.evaluate", expression="Object.prototype", objectGroup="leakcheck-search")["result"]
        found = call("Runtime.queryObjects", prototypeObjectId=every["objectId"], objectGroup="leakcheck-search")
        following = call(
            "Runtime.callFunctionOn",
            functionDeclaration=_FIND,
            objectId=found["objects"]["objectId"],
            objectGroup="leakcheck",
        )
        call("Runtime.releaseObjectGroup", objectGroup="leakcheck-search")
        self._following = following["result"]["objectId"]
        self._searched = time.monotonic()
        self._stall = self._searched - begun

    def _followed(self) -> Iterable[Reading]:
        answer = self._inspector.call(
            "Runtime.callFunctionOn",
            functionDeclaration="function () { return this(); }",
            objectId=self._following,
            returnByValue=True,
        )
        for name, found in answer["result"]["value"].items():
            held = tuple(Holder(name=visible(title), count=count) for title, count in found["holders"])
            yield Reading(resource=name, value=found["value"], holders=held)


def _held(basics: dict[str, Any]) -> tuple[Holder, ...]:
    ordered = sorted(basics["handles"].items(), key=lambda item: (-item[1], item[0]))
    return tuple(Holder(name=visible(name), count=count) for name, count in ordered[:MOST_HOLDERS])


def _marked(path: str) -> bool:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as contents:
        return contents.find(_MARK) >= 0


def _uses_libnode(pid: int) -> bool:
    """Some distributions keep Node in a library of its own."""
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        return any("/libnode.so" in line for line in file)
