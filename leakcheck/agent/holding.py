"""What one holder says about the thing it holds: a name, or where to go on."""

from __future__ import annotations

import _thread
import functools
import sys
import types
from typing import Any

from . import bounded

_PACKAGE = __name__.rpartition(".")[0]
_METHODS = (types.MethodType, types.BuiltinMethodType, functools.partial)
_SUSPENDED = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_ELEMENTS = (dict, list, tuple, set, frozenset)
PLAIN: frozenset[type] = frozenset((dict, list, tuple, set, frozenset, types.CellType))
"""Types that say nothing about a place."""
_ELEMENT = 10
"""Added to a name's rank for each `[*]`."""


class Node:
    """Something on the way up from a container."""

    __slots__ = ("after", "attribute", "below", "child", "met", "origin", "owner", "suffix", "target")

    def __init__(self, origin: int, target: Any, suffix: str, child: Any = None) -> None:
        """origin: the container's id; suffix: what follows the target's name; child: what the target holds."""
        self.origin = origin
        self.target = target
        self.suffix = suffix
        self.child = child
        self.attribute = ""
        """Set when the target is a dict: the key, in case the dict is somebody's attributes."""
        self.after = ""
        """What follows that attribute."""
        self.below: Node | None = None
        """The node that this one was reached from."""
        self.owner: Any = None
        self.met = False
        """True: somebody was found to hold it."""

    def above(self, target: Any, suffix: str) -> Node:
        """Return the next node up."""
        node = Node(self.origin, target, suffix, self.target)
        node.owner, node.below = self.owner, self
        return node


def is_own(thing: Any) -> bool:
    """Say whether an object or a frame is the agent's."""
    if type(thing) is types.FrameType:
        return str(thing.f_globals.get("__name__", "")).startswith(_PACKAGE)
    return str(type.__getattribute__(type(thing), "__module__")).startswith(_PACKAGE)


def explain(holder: Any, node: Node, spaces: dict[int, str]) -> list[Any]:
    """Return Places and Nodes: names that the holder gives, else where to go on.

    spaces: the modules' names by the id of their globals.
    """
    kind = type(holder)
    bases = bounded.mro(kind)
    named = _scope(holder, node, spaces)
    if named is not None:
        return named
    if kind in _METHODS or kind is types.CellType:
        return [node.above(holder, node.suffix)]
    if bounded.is_cached(kind):
        place = cached(holder, "[*]" + node.suffix)
        return [place._replace(ignored=node.below is None and type(node.target) is dict)]  # its own dict
    if kind.__name__ == "_local" and node.below is not None and node.below.attribute:  # a dict for each thread
        return [node.above(holder, f".{node.below.attribute}{node.below.after}")]
    named = _attribute(holder, node)
    if named:
        return named
    element = any(base in bases for base in _ELEMENTS) or bounded.length_of(kind) is not None
    whole = kind is tuple and type(node.target) is types.CellType
    return [node.above(holder, "[*]" + node.suffix if element and not whole else node.suffix)]


def _scope(holder: Any, node: Node, spaces: dict[int, str]) -> list[Any] | None:
    """Explain what has names of its own: a dict, a module, a class, a function; None for all else."""
    kind = type(holder)
    if kind is dict:
        return [_dict(holder, node, spaces)]
    if kind is types.FrameType:
        return [local(holder.f_code, holder.f_globals, name, node) for _, name in locals_of(holder, {id(node.target)})]
    if kind in _SUSPENDED:
        return _suspended(holder, node)
    if kind is types.FunctionType:
        return _function(holder, node)
    if type in bounded.mro(kind):
        return _class(holder, node)
    if types.ModuleType in bounded.mro(kind):
        return [_place(str(holder.__name__), node.attribute + node.after, node)] if node.attribute else []
    return None


def _place(module: str, rest: str, node: Node, rank: int = 0, **owned: Any) -> Any:
    from .naming import Place  # noqa: PLC0415 (naming needs this module)

    rest = rest.replace("<locals>.", "")
    owned.setdefault("owner", node.owner)
    return Place(f"{module}:{rest}", rank + _ELEMENT * rest.count("[*]"), module, **owned)


def _dict(holder: dict[Any, Any], node: Node, spaces: dict[int, str]) -> Any:
    """Read a dict: a module's globals name at once, others may be an object's attributes or an ordinary dict."""
    key = next((key for key, value in list(dict.items(holder)) if value is node.target), None)
    module = spaces.get(id(holder))
    if module is None and "__builtins__" in holder:
        module = str(holder.get("__name__"))
    if module is not None:
        return _place(module, f"{key}{node.suffix}", node)
    above = node.above(holder, "[*]" + node.suffix)
    if type(key) is str:
        above.attribute, above.after = key, node.suffix
    return above


def _class(holder: type, node: Node) -> list[Any]:
    own = type.__getattribute__(holder, "__dict__")
    name, rest = node.attribute, node.after
    if not name or own.get(name) is not node.child:
        name, rest = next((key for key, value in list(own.items()) if value is node.target), ""), node.suffix
    if not name:
        return []
    return [_place(_module(holder), f"{_qualname(holder)}.{name}{rest}", node, 1)]


def _module(thing: type) -> str:
    return str(type.__getattribute__(thing, "__module__"))


def _qualname(thing: type) -> str:
    return str(type.__getattribute__(thing, "__qualname__"))


def _attribute(holder: Any, node: Node) -> list[Any]:
    """Name by an instance's attribute, or go on above an instance that is itself the container as people see it."""
    own = bounded.instance_dict(holder)
    name, rest = node.attribute, node.after
    if not name or own is not node.target:
        name, rest = _slot_or_key(holder, own, node.target), node.suffix
        if not name:
            return []
    inner = bounded.inner_attribute(holder)
    if inner == name:
        above = node.above(holder, rest)
        above.owner = holder if not rest else node.owner
        return [above]
    kind = type(holder)
    ignored = _module(kind).startswith("cachetools") or bounded.is_cachetools(kind) or bounded.is_weak(kind)
    if kind is types.SimpleNamespace:
        return [node.above(holder, "." + name + rest)]
    owned: dict[str, Any] = {} if node.owner is not None or rest else {"owner": holder, "attribute": name}
    rest = f"{_qualname(kind)}.{name}{rest}"
    return [_place(_module(kind), rest, node, 2, ignored=ignored, **owned)]


def _slot_or_key(holder: Any, own: dict[str, Any] | None, target: Any) -> str:
    for key, value in list((own or {}).items()):
        if value is target:
            return str(key)
    return next((key for key, value in bounded.attributes_of(holder).items() if value is target), "")


def _function(holder: types.FunctionType, node: Node) -> list[Any]:
    """Name by a closure, a default, or an attribute of a function."""
    name, rest = "", node.suffix
    if node.target is holder.__closure__:
        name = next((free for free, cell in _pairs(holder) if cell is node.child), "")
    elif node.target is holder.__defaults__:
        code, values = holder.__code__, holder.__defaults__ or ()
        first = code.co_argcount - len(values)
        position = next((n for n, value in enumerate(values) if value is node.child), 0)
        name, rest = code.co_varnames[first + position], node.suffix[len("[*]") :]
    elif node.attribute and node.target is holder.__kwdefaults__:
        name, rest = node.attribute, node.after
    elif node.attribute and node.target is not holder.__globals__:  # an attribute of the function
        return [_place(str(holder.__module__), f"{holder.__qualname__}.{node.attribute}{node.after}", node, 3)]
    if not name:
        return []
    return [_place(str(holder.__module__), f"{holder.__qualname__}.<{name}>{rest}", node, 3)]


def _pairs(function: types.FunctionType) -> list[tuple[str, Any]]:
    return list(zip(function.__code__.co_freevars, function.__closure__ or ()))  # noqa: B905 (Python 3.8)


def cached(wrapper: Any, rest: str) -> Any:
    """Return the place of a functools.lru_cache wrapper, which has its function's name."""
    function = getattr(wrapper, "__wrapped__", wrapper)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    module = str(getattr(function, "__module__", ""))
    return _place(module, f"{name} (lru_cache){rest}", Node(id(wrapper), wrapper, rest), 0)


def _suspended(holder: Any, node: Node) -> list[Any]:
    for prefix in ("gi_", "cr_", "ag_"):
        frame = getattr(holder, prefix + "frame", None)
        if frame is not None:
            names = [name for _, name in locals_of(frame, {id(node.target)})] or ["<local>"]
            return [local(frame.f_code, frame.f_globals, names[0], node, holder.__qualname__)]
    return []


def local(code: types.CodeType, space: dict[str, Any], name: str, node: Node, qualname: str = "") -> Any:
    """Return the place of a function's local variable: kept in case nothing better holds the container."""
    function = qualname or getattr(code, "co_qualname", code.co_name)
    name = name if name.startswith("<") else f"<{name}>"
    return _place(str(space.get("__name__")), f"{function}.{name}{node.suffix}", node, 5)


def running_frames() -> list[types.FrameType]:
    """Return the frames of all threads but this one, the agent's, which a frame that knew itself would keep alive."""
    tops = sys._current_frames()  # noqa: SLF001 (documented)
    tops.pop(_thread.get_ident(), None)
    found = []
    for top in tops.values():
        frame: types.FrameType | None = top
        while frame is not None:
            found.append(frame)
            frame = frame.f_back
    return found


def locals_of(frame: types.FrameType, wanted: set[int]) -> list[tuple[int, str]]:
    """Return ids and names of a function's variables among the wanted ids."""
    return [(id(value), name) for name, value in variables(frame) if id(value) in wanted]


def variables(frame: types.FrameType) -> list[tuple[str, Any]]:
    """Return a function's variables; none of a frame whose variables are a namespace of its own.

    Before Python 3.13 the dict that is asked for stays with the frame and would keep alive what the function lets go,
    so it is emptied again, unless the program has it too. Not where a tracer written in Python may be running: what
    its dict says is written back into the variables.
    """
    if not frame.f_code.co_flags & 1:  # inspect.CO_OPTIMIZED
        return []
    proxied = sys.version_info >= (3, 13)
    if not proxied and (frame.f_trace is not None or getattr(sys.modules.get("threading"), "_trace_hook", None)):
        return []
    names = frame.f_locals
    found = [(str(name), value) for name, value in list(names.items())]
    if type(names) is dict and sys.getrefcount(names) <= _ALONE:
        names.clear()
    return found


_ALONE = 3
"""References to such a dict: the frame's, ours, and the argument."""
