"""From floors to series: one resource over rounds, counted inside processes that lived on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from leakcheck.model.event import Floor, Phase, TargetInfo
from leakcheck.model.reading import REGISTRY, Holder, ProcessReadings, Resource
from leakcheck.model.series import Series

_Identity = tuple[int, int]


@dataclass(slots=True)
class Track:
    """One resource, floor by floor."""

    resource: Resource
    totals: list[float] = field(default_factory=list)
    growth: list[float] = field(default_factory=list)
    """Since the first floor."""
    broken: list[bool] = field(default_factory=list)
    roles: list[Mapping[str, float]] = field(default_factory=list)
    holders: list[tuple[Holder, ...]] = field(default_factory=list)
    present: list[bool] = field(default_factory=list)
    """Whether it was read at each floor."""
    seen: bool = False
    """Read at the floor that the judged rounds start from: only then is there something to judge."""
    first: int = 0
    """The first floor that it can be judged from, where that is later than of others."""
    processes: list[int] = field(default_factory=list)
    """How many processes gave a reading, at each floor."""


def first_judged(floors: Sequence[Floor]) -> int:
    """Index of the floor that the judged rounds start from: the last one of the warm-up.

    The warm-up is what was planned as such, and never less than a third of all rounds: what fills up early has more
    time to do so the longer an audit takes. A watch has none.
    """
    end = end_of_judged(floors)
    for index, floor in enumerate(floors):
        if floor.phase in (Phase.MAIN, Phase.QUIET):
            return max(index - 1, end // 3) if index else 0
    return max(0, len(floors) - 1)


def end_of_judged(floors: Sequence[Floor]) -> int:
    """Index after the last judged floor: from here on a leak is confirmed on fresh rounds, or sessions abandoned.

    Fresh rounds after which judged ones were played again count among these.
    """
    end = end_of_confirming(floors)
    while end and floors[end - 1].phase in _FRESH:
        end -= 1
    return end


def end_of_fresh(floors: Sequence[Floor]) -> int:
    """Index after the last fresh round: from here on nothing was played, to see what comes back."""
    end = end_of_confirming(floors)
    while end and floors[end - 1].phase is Phase.IDLE:
        end -= 1
    return end


def ends_of_fresh(floors: Sequence[Floor]) -> list[int]:
    """Index after each run of fresh rounds and of the quiet after them, in order."""
    return [
        index
        for index in range(1, len(floors) + 1)
        if floors[index - 1].phase in _FRESH and (index == len(floors) or floors[index].phase not in _FRESH)
    ]


def end_of_confirming(floors: Sequence[Floor]) -> int:
    """Index after the last floor before sessions are abandoned."""
    return next((index for index, floor in enumerate(floors) if floor.phase is Phase.ABANDON), len(floors))


_FRESH = (Phase.CONFIRM, Phase.IDLE)


def tracks(resources: Sequence[Resource], floors: Sequence[Floor]) -> dict[str, Track]:
    """Follow every resource through all floors.

    A resource read per process grows only by what processes present at both floors gained: a newborn's own
    descriptors are not a leak of its parent (it is counted by `processes`), and a replaced worker starts anew
    without a jump. Where a role lost a process and got another, the step is marked broken.
    """
    found = {resource.name: Track(resource=resource) for resource in resources}
    for index, floor in enumerate(floors):
        before = floors[index - 1] if index else None
        replaced = before is not None and _replaced(before, floor)
        tree = {reading.resource: reading for reading in floor.snapshot.tree}
        for track in found.values():
            if track.resource.per_process:
                _follow_processes(track, before, floor, replaced=replaced)
            else:
                reading = tree.get(track.resource.name)
                _append(track, None if reading is None else reading.value, reading.holders if reading else ())
    for track in found.values():
        track.seen = bool(floors) and track.present[first_judged(floors)]
        late = track.resource.name.startswith(_FOUND_LATER)
        if late and not track.seen and any(track.present[: end_of_judged(floors)]):
            track.seen, track.first = True, track.present.index(True)
    return found


_FOUND_LATER = REGISTRY
"""What is only read from the floor on at which it was seen to grow: it is judged from there."""


def series_of(track: Track, floors: Sequence[Floor], target: TargetInfo) -> Series:
    """Turn a followed resource into the numbers that a detector sees."""
    kinds = target.operations
    base = track.totals[track.present.index(True)]
    name = track.resource.name
    peaks = tuple(floor.loaded.get(name, 0.0) for floor in floors)
    undone = tuple(floor.before_undo.get(name, total) for floor, total in zip(floors, track.totals, strict=True))
    return Series(
        resource=track.resource,
        values=tuple(base + grown for grown in track.growth),
        totals=tuple(track.totals),
        operations=tuple(tuple(row.get(kind, 0) for kind in kinds) for row in operations_by_round(floors)),
        kinds=kinds,
        seconds=tuple(floor.snapshot.at_seconds for floor in floors),
        bound=None if track.resource.bound is None else track.resource.bound * max(1, *track.processes[-1:]),
        breaks=tuple(index for index, broken in enumerate(track.broken) if broken),
        peaks=peaks if any(peaks) else (),
        before_undo=undone if any(floor.before_undo for floor in floors) else (),
        invokes=tuple(
            (kinds.index(kind), kinds.index(called))
            for kind, calls in target.invokes.items()
            for called in calls
            if kind in kinds and called in kinds
        ),
    )


def up_to(series: Series, end: int) -> Series:
    """Return the first `end` floors of a series."""
    return replace(
        series,
        values=series.values[:end],
        totals=series.totals[:end],
        operations=series.operations[:end],
        seconds=series.seconds[:end],
        breaks=tuple(index for index in series.breaks if index < end),
        peaks=series.peaks[:end],
        before_undo=series.before_undo[:end],
    )


def operations_by_round(floors: Sequence[Floor]) -> list[dict[str, int]]:
    """Operations done in each round, from the running totals."""
    rows: list[dict[str, int]] = []
    before: dict[str, int] = {}
    for floor in floors:
        rows.append({kind: count - before.get(kind, 0) for kind, count in floor.operations.items()})
        before = dict(floor.operations)
    return rows


def _follow_processes(track: Track, before: Floor | None, floor: Floor, *, replaced: bool) -> None:
    name = track.resource.name
    now = _values(floor, name)
    if not now:
        _append(track, None, ())
        return
    was = _values(before, name) if before else {}
    lived = now.keys() & was.keys()
    gained = sum(now[identity] - was[identity] for identity in lived)
    roles: dict[str, float] = {}
    for one in floor.snapshot.processes:
        if name in one.values:
            roles[one.process.role] = roles.get(one.process.role, 0.0) + one.values[name]
    track.totals.append(sum(now.values()))
    track.growth.append((track.growth[-1] if track.growth else 0.0) + gained)
    track.broken.append(before is not None and (replaced or not lived))
    track.roles.append(roles)
    track.holders.append(_merge(floor.snapshot.processes, name))
    track.present.append(True)
    track.processes.append(len(now))


def _append(track: Track, value: float | None, held: tuple[Holder, ...]) -> None:
    """Add a reading of the whole tree; None: not read here, the last value is kept and the step marked broken."""
    last = track.totals[-1] if track.totals else 0.0
    known = bool(track.present) and track.present[-1] and value is not None
    gained = value - last if known and value is not None else 0.0
    track.totals.append(last if value is None else value)
    track.growth.append((track.growth[-1] if track.growth else 0.0) + gained)
    track.broken.append(bool(track.present) and not known)
    track.roles.append({})
    track.holders.append(held)
    track.present.append(value is not None)
    track.processes.append(0)


def _values(floor: Floor, name: str) -> dict[_Identity, float]:
    return {one.process.identity: one.values[name] for one in floor.snapshot.processes if name in one.values}


def _replaced(before: Floor, floor: Floor) -> bool:
    was = {one.process.identity: one.process.role for one in before.snapshot.processes}
    now = {one.process.identity: one.process.role for one in floor.snapshot.processes}
    gone = {role for identity, role in was.items() if identity not in now}
    born = {role for identity, role in now.items() if identity not in was}
    return bool(gone & born)


def _merge(processes: Sequence[ProcessReadings], name: str) -> tuple[Holder, ...]:
    counts: dict[str, float] = {}
    for one in processes:
        for holder in one.holders.get(name, ()):
            counts[holder.name] = counts.get(holder.name, 0.0) + holder.count
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Holder(name=held, count=count) for held, count in ordered[:12])
