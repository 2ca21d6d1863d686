"""What happened, one journal line each. An audit is concluded from these alone, so a crash loses nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from leakcheck.model.plan import AuditPlan
from leakcheck.model.reading import Process, Resource, Snapshot


class Phase(StrEnum):
    """What a round is for."""

    PILOT = "pilot"
    """Small doses, to learn the cost of each operation."""
    WARM_UP = "warm_up"
    MAIN = "main"
    QUIET = "quiet"
    """No operations for as long as a round takes: tells growth by time from growth by operation."""
    CONFIRM = "confirm"
    """Fresh rounds, once a leak was seen: one suspected operation alone, all but it, or all of them."""
    IDLE = "idle"
    """Nothing, after a leak was seen: what comes back without load?"""
    ABANDON = "abandon"
    """Sessions opened and left, apart from everything else."""
    WAIT = "wait"
    """Nothing, until abandoned sessions should be gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A ceiling of the target that growth will hit."""

    name: str
    """`RLIMIT_NOFILE`, `cgroup pids.max`, `cgroup memory.max`, `RAM`, `pid_max`."""
    value: float
    now: float
    """What counts against it at the last floor."""
    resources: tuple[str, ...]
    """Prefixes of the resource names that use it up, for example `fds.`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotPlayed:
    """An operation that could have been and was not, with the reason."""

    operation: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetInfo:
    """Whom the audit is about."""

    name: str
    command: tuple[str, ...]
    """Credentials removed, `{port}` filled."""
    pid: int
    started: int
    server: str
    """What the server says it is (MCP serverInfo, HTTP Server header), or the executable's name."""
    protocol: str
    """For example `MCP 2025-11-25 over stdio`, `HTTP/1.1`."""
    ready_seconds: float
    """From start to the first answer."""
    operations: tuple[str, ...]
    """The kinds that are played in the judged rounds."""
    not_played: tuple[NotPlayed, ...]
    writes: tuple[str, ...] = ()
    """Those of `operations` that do not declare to be read-only: what grows with them may be what they store."""
    invokes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By kind: the `call:` kinds whose tools it calls as well (a cancelled call may be a call)."""
    apart: tuple[str, ...] = ()
    """Kinds that are played last, in a phase of their own: `abandon`."""
    root: Process | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Event `plan`: the first line."""

    schema: int
    version: str
    at: str
    """UTC, ISO 8601."""
    plan: AuditPlan
    environment: Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """Event `target`: it answered."""

    target: TargetInfo
    resources: tuple[Resource, ...]
    """What can be read; grows with later `resources` of a Floor (new metric series)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Event `snapshot`: a round's end, after load and settling."""

    round: int
    phase: Phase
    operations: Mapping[str, int]
    """Operations done since the start, by kind, this round included."""
    planned: Mapping[str, int]
    """What this round was to play."""
    failed: Mapping[str, int]
    """Of this round's operations, those whose answer was not what it should be."""
    load_seconds: float
    settle_seconds: float
    settled: bool
    """False: readings still moved when the settling time was up."""
    loaded: Mapping[str, float]
    """Highest reading seen under load, whole tree, for the resources that are cheap to read."""
    before_undo: Mapping[str, float]
    """Tree values after the load and before `--undo`; empty without it."""
    snapshot: Snapshot
    load_cpu_seconds: float = 0.0
    """CPU time of the load's own processes in this round."""
    resources: tuple[Resource, ...] = ()
    """Resources that appeared since the last event."""
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A process or file that outlived what started it."""

    what: str
    """`process` or `file`."""
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """Event `copy`: a further copy of the server, started and ended in one way, and what it left behind."""

    operation: str
    """`session`, `abandon`, `disconnect`; `stop` for the audited target's own end."""
    number: int
    ended_seconds: float | None
    """Until the server's own process was gone; None: it was still there after the grace time."""
    left: tuple[Left, ...]
    needed_signal: bool = False
    """True: closing stdin was not enough, it ended on SIGTERM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """Event `sizes`: how large the entries are of the containers that grew."""

    bytes_per_entry: Mapping[str, float]
    """By resource name; with all that an entry alone refers to, the mean of a few of the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Event `warning`: something that the reader must know to weigh the verdicts."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Event `end`: the last line, absent after a crash."""

    how: str
    """`finished`, `interrupted`, `target died`, `not begun` (a warning says why)."""
    wall_seconds: float
    auditor_cpu_seconds: float
    """CPU time of the auditor and its load processes since ready, reaped copies not included."""
    looking_cpu_seconds: float
    """The part of it spent in snapshots."""


Event = Planned | Ready | Floor | Sized | Copy | Warned | Ended

NAMES: Mapping[str, type[Event]] = {
    "plan": Planned,
    "target": Ready,
    "snapshot": Floor,
    "sizes": Sized,
    "copy": Copy,
    "warning": Warned,
    "end": Ended,
}
"""The `event` key of a journal line, and what it holds."""
