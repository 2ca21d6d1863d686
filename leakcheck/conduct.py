"""How the audit itself went: on which machine, at what cost, whether its load kept up, what a reader must know."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import psutil

from leakcheck.history import operations_by_round
from leakcheck.model.audit import KEPT_UP, Tool
from leakcheck.model.event import Ended, Floor, Phase, Planned
from leakcheck.model.kinds import without_era

_JUDGED = (Phase.MAIN, Phase.QUIET)
_RESTLESS = 0.25
"""Of the judged floors."""
_LATE_SECONDS = 1.0
_BUSY = 0.9
"""Of a core: a load that used this much was as fast as it can be, and nobody knows whether the server was."""


def environment() -> dict[str, str | int | float]:
    """Return what the verdicts may depend on of this machine."""
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cores": os.cpu_count() or 0,
        "memory_bytes": psutil.virtual_memory().total,
        "load_1min": os.getloadavg()[0],
    }


def tool(planned: Planned, floors: Sequence[Floor], ended: Ended | None) -> Tool:
    """Return who audited, and at what cost."""
    wall = ended.wall_seconds if ended else (floors[-1].snapshot.at_seconds if floors else 0.0)
    costs = [floor.snapshot.cost_seconds for floor in floors]
    return Tool(
        name="leakcheck",
        version=planned.version,
        ended=ended.how if ended else "auditor killed",
        wall_seconds=wall,
        auditor_cpu_share=ended.auditor_cpu_seconds / wall if ended and wall else None,
        looking_cpu_share=ended.looking_cpu_seconds / wall if ended and wall else None,
        snapshot_ms=1e3 * median(costs) if costs else None,
        load_cpu_share=_load_cpu_share(floors),
        achieved_share=None if (worst := _worst(floors)) is None else worst.share,
    )


def fell_behind(floors: Sequence[Floor]) -> bool:
    """Whether so much of the planned load was not played, or failed, that no clean verdict can rest on it."""
    worst = _worst(floors)
    return worst is not None and worst.share < KEPT_UP


def troubles(floors: Sequence[Floor]) -> tuple[str, ...]:
    """Say what went wrong with the audit itself, so that a weak leak of it is taken back."""
    judged = [floor for floor in floors if floor.phase in _JUDGED]
    found = []
    restless = sum(1 for floor in judged if not floor.settled)
    if judged and restless > _RESTLESS * len(judged):
        found.append(f"{restless} of {len(judged)} floors did not settle")
    if restarts := sum(1 for before, after in pairwise(floors) if _root(before) != _root(after)):
        found.append(f"the target's first process was replaced {restarts} times")
    late = sum(1 for floor in judged if floor.snapshot.cost_seconds > _LATE_SECONDS)
    if judged and late > _RESTLESS * len(judged):
        found.append(f"{late} of {len(judged)} looks took longer than {_LATE_SECONDS:g} s")
    worst = _worst(floors)
    if worst is not None and worst.share < KEPT_UP:
        found.append(f"of {worst.kind}, {worst.done - worst.failed:,} of {worst.planned:,} planned were played well")
    return tuple(found)


def _root(floor: Floor) -> tuple[int, int] | None:
    processes = floor.snapshot.processes
    return processes[0].process.identity if processes else None


def warnings(floors: Sequence[Floor], ended: Ended | None) -> tuple[str, ...]:
    """Say what weakens the verdicts."""
    found = []
    restless = sum(1 for floor in floors if not floor.settled)
    if restless:
        found.append(f"{restless} of {len(floors)} rounds did not settle: readings still moved when the time was up.")
    played = [floor for floor in floors if floor.phase is not Phase.ABANDON]
    failed = sum(sum(floor.failed.values()) for floor in played)
    if failed:
        done = sum(floors[-1].operations.values())
        found.append(f"{failed} of {done} operations failed; a leak on the path of success may be hidden by it.")
    if floors and not any(floor.phase in _JUDGED for floor in floors):
        found.append("No round after the warm-up was finished.")
    if ended is None:
        found.append("The auditor was killed: this report holds what its journal had seen until then.")
    return (*found, *_of_the_load(floors))


def _of_the_load(floors: Sequence[Floor]) -> list[str]:
    found = []
    share, worst = _load_cpu_share(floors), _worst(floors)
    if share is not None and share > _BUSY:
        found.append(
            f"The load itself was the bottleneck: its process used {share:.0%} of a core while it played, so the "
            "server may not have been worked as hard as it can be."
        )
    if worst is not None and worst.share < KEPT_UP:
        found.append(
            f"Of {worst.kind}, {worst.done:,} of {worst.planned:,} planned were played in time, and {worst.failed:,} "
            f"of these failed: no clean verdict rests on that. {_cure(worst)}"
        )
    return found


def _load_cpu_share(floors: Sequence[Floor]) -> float | None:
    rounds = [floor for floor in floors if floor.phase is Phase.MAIN]
    cpu, wall = sum(floor.load_cpu_seconds for floor in rounds), sum(floor.load_seconds for floor in rounds)
    return cpu / wall if cpu and wall else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """What became of one kind of operation over the judged rounds."""

    kind: str
    planned: int
    done: int
    failed: int

    @property
    def share(self) -> float:
        return (self.done - self.failed) / self.planned


def _cure(worst: _Kind) -> str:
    if worst.failed > worst.planned - worst.done:
        return f"See what the server says of it in target.log; --skip {without_era(worst.kind)} leaves it out."
    return "Lower --operations, raise --budget, or run it on a machine with a free core."


def _worst(floors: Sequence[Floor]) -> _Kind | None:
    """The kind of which the least was played well; None where nothing was planned."""
    rounds = [
        (floor, row)
        for floor, row in zip(floors, operations_by_round(floors), strict=True)
        if floor.phase is Phase.MAIN
    ]
    kinds = [
        _Kind(
            kind=kind,
            planned=sum(floor.planned.get(kind, 0) for floor, _ in rounds),
            done=sum(row.get(kind, 0) for _, row in rounds),
            failed=sum(floor.failed.get(kind, 0) for floor, _ in rounds),
        )
        for kind in dict.fromkeys(kind for floor, _ in rounds for kind in floor.planned)
    ]
    return min((one for one in kinds if one.planned), key=lambda one: one.share, default=None)
