"""All that was seen and concluded: one self-contained document, schema 1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from leakcheck.model.event import Copy, Limit, Phase, TargetInfo
from leakcheck.model.finding import Finding, Verdict
from leakcheck.model.plan import AuditPlan
from leakcheck.model.reading import Holder, Resource

SCHEMA = 1
"""Keys may be added; a removed, renamed or re-typed key raises this."""


KEPT_UP = 0.8
"""Share of the planned operations below which a clean verdict is withdrawn: the server did not work as it is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Who audited, and at what cost."""

    name: str
    version: str
    ended: str
    """`finished`, `interrupted`, `target died`, `auditor killed`, `not begun`."""
    wall_seconds: float
    auditor_cpu_share: float | None
    """Share of one core that the auditor used, load included; None when it was killed."""
    looking_cpu_share: float | None
    """The part of it spent looking."""
    snapshot_ms: float | None
    """Median cost of a snapshot."""
    load_cpu_share: float | None = None
    """Share of one core that the load's processes used while they played the judged rounds; None without such."""
    achieved_share: float | None = None
    """Operations played well of those planned, of the kind that did worst; None where nothing was planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One resource at one floor."""

    total: float
    """Sum over the tree."""
    growth: float
    """Since the first floor, inside processes that lived on; the detectors see this."""
    broken: bool
    """True: no slope may be drawn from the floor before to this one."""
    roles: Mapping[str, float]
    """The total by role; empty for resources of the whole tree."""
    holders: tuple[Holder, ...] = ()
    """Named pieces, on the first and the last judged round only."""
    peak: float | None = None
    before_undo: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Operations in known numbers, a settled floor, and what was read there."""

    number: int
    phase: Phase
    at_seconds: float
    operations: Mapping[str, int]
    """Played in this round, by kind."""
    failed: Mapping[str, int]
    load_seconds: float
    settle_seconds: float
    settled: bool
    readings: Mapping[str, Value]
    unread: tuple[str, ...]
    """Resources that could not be read here."""
    pause_seconds: float = 0.0
    """How long an agent inside the target worked at this floor, at most, in any one process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The pivot: every report, comparison and gate needs only this."""

    schema: int
    tool: Tool
    at: str
    """UTC start, ISO 8601."""
    environment: Mapping[str, str | int | float]
    plan: AuditPlan
    target: TargetInfo | None
    """None: it never answered."""
    resources: tuple[Resource, ...]
    rounds: tuple[Round, ...]
    copies: tuple[Copy, ...]
    limits: tuple[Limit, ...]
    verdict: Verdict
    warnings: tuple[str, ...]
    findings: tuple[Finding, ...]
