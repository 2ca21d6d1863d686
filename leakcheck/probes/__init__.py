"""One file per resource kind: each reads its kind once, from outside, and knows nothing of verdicts.

A probe is a class named `Probe` in a file of its own:

- `Probe(setting)` is made once per audit;
- `resources()` says what it can read (and may grow: a metrics page shows new series);
- `read_process(look)` gives readings of one process, or `read_tree(view)` of the whole tree;
- it raises `CannotReadError` for what it could not read: recorded as not read, never as zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from leakcheck.model.reading import Holder, Process, Reading, Resource
from leakcheck.probes._look import ProcessLook

MOST_HOLDERS = 12
"""Names kept per reading: the journal stays small, and what leaks is among the largest."""


class CannotReadError(Exception):
    """This resource cannot be read here; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a probe may need to know of the audit."""

    metrics_url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent to the metrics page: values are secret."""
    temporary: str | None = None
    """The target's own temporary folder; None: it shares one with others."""
    parent: int | None = None
    """Pid of the reaper, the parent of processes that lost theirs; None for a target that was running already."""
    agents: str | None = None
    """Folder of the sockets of the agents inside the target; None: it is looked at from outside only, Node too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeView:
    """The tree at one instant."""

    members: tuple[Process, ...]
    looks: Mapping[int, ProcessLook]
    """By pid; zombies and processes that ended meanwhile are not in it."""
    parents: Mapping[int, int]
    """Pid to parent's pid, zombies included."""
    zombies: frozenset[int]


class Probe(Protocol):
    """What each file's `Probe` class offers."""

    def __init__(self, setting: Setting) -> None: ...

    def resources(self) -> tuple[Resource, ...]:
        """What can be read, as far as known now."""


@runtime_checkable
class ProcessProbe(Probe, Protocol):
    """Reads one process at a time."""

    def read_process(self, look: ProcessLook) -> Iterable[Reading]:
        """Readings of one process."""


@runtime_checkable
class TreeProbe(Probe, Protocol):
    """Reads the whole tree at once."""

    def read_tree(self, view: TreeView) -> Iterable[Reading]:
        """Readings of the whole tree."""


@runtime_checkable
class PreparingProbe(Probe, Protocol):
    """Opens something in the target before anything is read, and holds it until the end."""

    def prepare(self, looks: Iterable[ProcessLook]) -> None:
        """Open it in the processes that are new; raises nothing: a reading says what went wrong."""

    def close(self) -> None:
        """Let go of all of it."""


def holders(names: Iterable[str]) -> tuple[Holder, ...]:
    """Count equal names: largest first, then by name, at most MOST_HOLDERS."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Holder(name=name, count=count) for name, count in ordered[:MOST_HOLDERS])
