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
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Something grows without end, and nothing else does."""

    resources: Mapping[str, float]
    """Those that must be called a leak, each with its rate per operation in its unit. The first must be put down to the
    operation at that rate, none to another."""
    operation: str
    also: tuple[str, ...] = ()
    """Resources that grow with it, which may be called a leak as well."""
    about: float = 0.1
    """By which share a measured rate may differ."""
    kind: Literal["leak"] = field(default="leak", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookAlike:
    """Looks like a leak and is none: nothing may be called a leak."""

    shapes: Mapping[str, tuple[str, ...]]
    """Of a resource: which shape it must be given, any of these."""
    operation: str
    kind: Literal["look_alike"] = field(default="look_alike", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongAnswer:
    """Costs nothing and answers wrongly: this scenario's check of the content must fail."""

    scenario: str
    kind: Literal["wrong_answer"] = field(default="wrong_answer", init=False)


METRICS = ("--metrics", "http://127.0.0.1:{port}/metrics")
OVER_STDIO = ("--mcp", "stdio", *METRICS)
OVER_HTTP = ("--mcp", "http://127.0.0.1:{port}/mcp", "--skip", "abandon", *METRICS)
ONE_SKILL_TOOL = (*OVER_STDIO, "--skip", "call:skill_delay", "--skip", "cancel")
"""The other tool of the bundled skill, and cancelled calls of this one, do the same and would share the blame."""
SERVES_STDIO = ("--metrics-port", "{port}")
SERVES_HTTP = ("--http", "127.0.0.1:{port}")


def scenario(name: str) -> tuple[str, ...]:
    """Options of an audit that plays a scenario of `loadtests/scenarios`."""
    return ("--locustfile", f"loadtests/scenarios/{name}.py", "--host", "http://127.0.0.1:{port}", *METRICS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Defect:
    """What one fault is, what is true of it, and how that can be seen."""

    id: str
    words: str
    """The audit's own; what it missed is in ours, and says so."""
    mechanism: str
    truth: Leak | LookAlike | WrongAnswer
    audit: tuple[str, ...] = OVER_STDIO
    """Options of `leakcheck audit` under which the truth is seen."""
    serve: tuple[str, ...] = SERVES_STDIO
    """Options of the server for that audit, besides the defect's own."""

    @property
    def command(self) -> tuple[str, ...]:
        """The whole audit, as a shell's words; without its last two the correct server is audited in the same way."""
        return ("leakcheck", "audit", *self.audit, "--", "mimo-server", *self.serve, "--defect", self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installable:
    """A defect and how to get it."""

    defect: Defect
    install: Callable[[Any], None]
    """Of an App that is not started; it is not named here, for it knows the settings, which know the defects."""


PROFILES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fixed": (),
        "current": (
            "zombie_ports",
            "growing_registry",
            "open_connections",
            "stale_rows_growing",
            "kept_executions",
            "scan_search",
            "small_pool",
            "kept_binaries",
            "message_backlog",
            "json_text",
        ),
        "faithful": (
            "orphan_child",
            "stale_rows",
            "ws_subscription",
            "fsm_hang",
            "orphan_query",
            "scan_search",
            "health_scan",
            "sticky_heap",
            "desync",
            "rate_keys",
            "pool_silent",
            "json_text",
            "instance_per_session",
            "ignored_threshold",
            "listed_twice",
            "noise_embedding",
        ),
    }
)
"""Named sets of defects: `fixed` is the correct server, `current` what the audit says of the audited one, `faithful`
what the audited code really did. Of those that contradict each other the later one counts: in `faithful`, desync (one
process for many calls) replaces orphan_child and stale_rows (one process for each); `--without desync` has these.
"""


def names() -> tuple[str, ...]:
    """The ids of all defects, sorted; nothing is loaded for it."""
    return tuple(sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_")))


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
