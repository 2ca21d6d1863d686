"""What the last rounds teach about the next: what an operation costs, and how many the target and the machine bear."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from leakcheck.drivers import Played
from leakcheck.model.event import Floor
from leakcheck.schedule import Costs

_LEARN_FROM = 3
"""Rounds back: costs follow a server that gets slower, and one odd round does not decide."""
_MOST_PROCESSES = 300
"""Growth of the tree that an audit may cause: beyond it the machine suffers, and the verdict is clear long before."""
_AIMED_AT = 0.5
"""Doses are chosen to stay within this share of what is allowed: growth may get faster."""
_SHARES = {"RLIMIT_NOFILE": 0.6, "cgroup pids.max": 0.6, "cgroup memory.max": 0.8, "RAM": 0.85}
"""Of a limit, that may be used up before the audit stops."""
_OURS = 0.1
"""Share of a limit that must be gone since the first floor: a machine that was full before is not our doing."""


def costs(kinds: Sequence[str], played: Sequence[tuple[Played, float]], floors: Sequence[Floor]) -> Costs:
    """Turn the last rounds into costs: busy seconds per operation, scaled to the wall time that they took together.

    `played`: what each playing round did, and its wall seconds.
    """
    recent = played[-_LEARN_FROM:]
    busy = {kind: sum(one.seconds.get(kind, 0.0) for one, _ in recent) for kind in kinds}
    count = {kind: sum(one.done.get(kind, 0) for one, _ in recent) for kind in kinds}
    wall, worked = sum(seconds for _, seconds in recent), sum(busy.values())
    scale = wall / worked if worked > 0 else 1.0
    pauses = [
        after.snapshot.at_seconds - before.snapshot.at_seconds - after.load_seconds
        for before, after in pairwise(floors[-_LEARN_FROM - 1 :])
    ]
    return Costs(
        seconds_per_operation={kind: busy[kind] * scale / max(1, count[kind]) for kind in kinds},
        overhead_seconds=sum(pauses) / len(pauses) if pauses else 0.0,
        allowed_operations=_allowed(floors),
    )


def round_seconds(floors: Sequence[Floor]) -> float:
    """How long a round takes, from the last ones: load, settling, looking."""
    recent = floors[-_LEARN_FROM:]
    spent = (floor.load_seconds + floor.settle_seconds + floor.snapshot.cost_seconds for floor in recent)
    return sum(spent) / len(recent)


def near_limits(floors: Sequence[Floor]) -> list[str]:
    """Say which limits the next rounds might hit, to the harm of the target or the machine; empty when none is near."""
    near = [
        f"{now:,.0f} of {value:,.0f} {name}"
        for name, value, now, rise in _limits(floors)
        if now > _SHARES[name] * value and rise > _OURS * value
    ]
    grown = _new_processes(floors)
    if grown > _MOST_PROCESSES:
        near.append(f"{grown} processes more than at the start")
    return near


def _allowed(floors: Sequence[Floor]) -> float:
    """Operations of all kinds that may still be played if growth goes on as so far."""
    played = sum(floors[-1].operations.values())
    rooms = [(_SHARES[name] * value - now, rise) for name, value, now, rise in _limits(floors) if rise > 0]
    rooms.append((_MOST_PROCESSES - _new_processes(floors), _new_processes(floors)))
    return max(0.0, min((_AIMED_AT * room / rise * played for room, rise in rooms if rise > 0), default=math.inf))


def _limits(floors: Sequence[Floor]) -> list[tuple[str, float, float, float]]:
    """Name, value, use now, and rise since the first floor, of the limits that stop an audit."""
    before = {limit.name: limit.now for limit in floors[0].limits}
    return [
        (limit.name, limit.value, limit.now, limit.now - before.get(limit.name, limit.now))
        for limit in floors[-1].limits
        if limit.name in _SHARES
    ]


def _new_processes(floors: Sequence[Floor]) -> int:
    return len(floors[-1].snapshot.processes) - len(floors[0].snapshot.processes)
