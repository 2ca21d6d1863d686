"""What was seen: processes, readings with their holders, and snapshots of a whole tree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

REGISTRY = "registry."
"""Names of resources that are containers of a Python process begin with it."""
AMOUNTS = frozenset({"bytes", "blocks"})
"""Units of memory, of which a piece has no name and one more or less means nothing."""


class Statistic(StrEnum):
    """Which mathematics a resource needs."""

    COUNT = "count"
    """Exact integers: one more is one more (file descriptors, processes, registry entries)."""
    LEVEL = "level"
    """Noisy and autocorrelated (memory)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind of thing that can leak."""

    name: str
    """As shown and filtered, for example `fds.socket`, `memory.anon`, `metric.mimo_sessions`."""
    unit: str
    """Plural noun of one piece (`sockets`, `processes`, `entries`) or `bytes`."""
    statistic: Statistic
    per_process: bool
    """True: read for each process; growth counts only inside processes that lived from one floor to the next."""
    title: str = ""
    """A few words for people, for example `open sockets`."""
    judged: bool = True
    """False: shown beside the others, never judged by itself (a second view of the same growth)."""
    bound: float | None = None
    """The most that it can hold, where that is known: of one process."""
    bound_by: str = ""
    """What keeps it there: `maxlen`, `maxsize`, or the line of code that does; without `bound`, one unknown."""
    keeps: bool = False
    """Whether its code is known and takes nothing out of it: no entry can be held for a time only."""
    spare: float = 0.0
    """So much of it may be freed already and kept for reuse: growth up to that is no leak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One member of the tree; its identity is pid and start time together."""

    pid: int
    started: int
    """Clock ticks after boot (field 22 of /proc/PID/stat): a reused pid has another one."""
    role: str
    """Same executable under the same parent role, root first: `python`, `gunicorn>gunicorn`, `npx>sh>node`."""
    command: str
    """The command line, credentials removed, cut to 200 characters."""

    @property
    def identity(self) -> tuple[int, int]:
        """The pair that names this process and no later one with the same pid."""
        return self.pid, self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Pieces of a resource that share a name."""

    name: str
    count: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One resource, read once: of one process, or of the whole tree."""

    resource: str
    value: float
    holders: tuple[Holder, ...] = ()
    """The pieces, named, largest first, at most 12 names; may cover less than `value`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A resource that could not be read: recorded as not read, never as zero."""

    resource: str
    reason: str
    pid: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessReadings:
    """All that was read of one process."""

    process: Process
    values: Mapping[str, float]
    """Resource name to value."""
    holders: Mapping[str, tuple[Holder, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All readings at one instant, with what failed to be read."""

    at_seconds: float
    """Seconds since the target was ready."""
    cost_seconds: float
    """How long it took to look."""
    processes: tuple[ProcessReadings, ...]
    tree: tuple[Reading, ...]
    unread: tuple[Unread, ...] = ()
    pause_seconds: float = 0.0
    """How long an agent inside the target worked for it, at most, in any one process."""


def totals(snapshot: Snapshot) -> dict[str, float]:
    """Return the sum over the tree of each resource that was read."""
    found = {reading.resource: reading.value for reading in snapshot.tree}
    for one in snapshot.processes:
        for name, value in one.values.items():
            found[name] = found.get(name, 0.0) + value
    return found
