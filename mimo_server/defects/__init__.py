"""Faults on request. One file per defect, found by being there; the correct code knows nothing of them.

Each module exports `DEFECT` and `install(app)`, which replaces one component or policy of an app not yet started.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # listing the names must not load the server
    from mimo_server.app import App


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Something grows without end: these resources must be called a leak."""

    resources: tuple[str, ...]
    operation: str
    rate: float
    """Per operation, in the resource's unit."""
    also: tuple[str, ...] = ()
    """Resources that grow with it, which may be called a leak as well."""
    kind: Literal["leak"] = field(default="leak", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlike:
    """Looks like a leak and is none: these shapes, never LEAK."""

    shapes: tuple[str, ...]
    operation: str
    kind: Literal["look_alike"] = field(default="look_alike", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongAnswer:
    """Costs nothing and answers wrongly: this scenario's check of the content must fail."""

    scenario: str
    kind: Literal["wrong_answer"] = field(default="wrong_answer", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """What one fault is and what is true of it."""

    id: str
    words: str
    """The audit's own."""
    mechanism: str
    truth: Leak | LookAlike | WrongAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Installable:
    """A defect and how to get it."""

    defect: Defect
    install: Callable[[App], None]


PROFILES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"fixed": (), "current": ("orphan_child", "open_connections", "growing_registry", "json_text_scan")}
)
"""Named sets of defects: `fixed` is the correct server, `current` what the audit says of the audited one."""


def names() -> tuple[str, ...]:
    """The ids of all defects, sorted; nothing is loaded for it."""
    return tuple(sorted(info.name for info in pkgutil.iter_modules(__path__)))


@cache
def defects() -> Mapping[str, Installable]:
    """All defects by id, in the order of their names. Raises TypeError for a file that breaks the contract."""
    found = {}
    for name in names():
        module = importlib.import_module(f"{__name__}.{name}")
        defect, install = getattr(module, "DEFECT", None), getattr(module, "install", None)
        if not isinstance(defect, Defect) or defect.id != name or not callable(install):
            raise TypeError(f"{module.__file__}: a defect exports DEFECT with id {name!r} and install(app)")
        found[defect.id] = Installable(defect=defect, install=install)
    return MappingProxyType(found)
