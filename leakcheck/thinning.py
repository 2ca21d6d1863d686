"""Keeps the floors of a watch few: the longer it runs, the coarser the grid on which they lie.

Slots of equal length cover the time since the start, and each keeps one floor. When more than MOST_FLOORS would be
needed, the slots become twice as long and neighbours are merged. So what is kept depends on nothing but the times of
the floors: an audit concluded from the whole journal equals the one that was shown live, and the journal grows with
the logarithm of time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from leakcheck.model.event import Event, Floor, Phase
from leakcheck.model.reading import Holder, ProcessReadings, Reading, Resource, Snapshot, Unread

MOST_FLOORS = 240
_WARM_UP = 3
"""One floor in so many is warm-up, as in an audit."""
_SHORTEST, _LONGEST = 1e-3, 1e9
"""Seconds of a slot: bounds for a journal that somebody damaged."""


def interval_at(first: float, seconds: float) -> float:
    """Return how long a slot is at an instant: `first` seconds, doubled as often as MOST_FLOORS demand."""
    interval = max(first, _SHORTEST)
    while seconds >= MOST_FLOORS * interval and interval < _LONGEST:
        interval *= 2
    return interval


def thinned(floors: Sequence[Floor]) -> list[Floor]:
    """Return at most MOST_FLOORS floors, numbered anew, the first third of them warm-up and the rest quiet.

    `load_seconds` of the first floor says how long the first slots were; every floor returned holds the length of its
    own slot. Thinning what was thinned before, with later floors after it, gives the same as thinning all at once.

    Does not see: what happened within a slot and was over at one look of it.
    """
    if not floors:
        return []
    interval = max(floors[0].load_seconds, _SHORTEST)
    last = interval_at(interval, floors[-1].snapshot.at_seconds)
    kept = _one_a_slot(floors, interval)
    while interval < last:
        interval *= 2
        kept = _one_a_slot(kept, interval)
    return [
        replace(
            floor,
            round=number,
            phase=Phase.WARM_UP if number < len(kept) // _WARM_UP else Phase.QUIET,
            load_seconds=interval,
        )
        for number, floor in enumerate(kept)
    ]


def thinned_events(events: Sequence[Event]) -> list[Event]:
    """Return the events of a watch with its floors thinned, these after all others but the last ones."""
    floors = [index for index, event in enumerate(events) if isinstance(event, Floor)]
    if not floors:
        return list(events)
    others = [event for event in events[: floors[-1]] if not isinstance(event, Floor)]
    kept = thinned([event for event in events if isinstance(event, Floor)])
    return [*others, *kept, *events[floors[-1] + 1 :]]


def merged(earlier: Floor, later: Floor) -> Floor:
    """Return the later floor with the lower of both readings, for each process and resource.

    Under live traffic a single look finds work half done; the lowest look of an interval is what a settled floor is
    in an audit. A process that only one of both has is kept, or not, as in the later; a resource that could be read
    only once counts as it was read.
    """
    before, after = earlier.snapshot, later.snapshot
    was = {one.process.identity: one for one in before.processes}
    processes = tuple(_lower_process(was.get(one.process.identity), one) for one in after.processes)
    tree = _lower_tree(before.tree, after.tree)
    return replace(
        later,
        resources=_joined(earlier.resources, later.resources),
        snapshot=replace(after, processes=processes, tree=tree, unread=_still_unread(after, processes, tree)),
    )


def _one_a_slot(floors: Sequence[Floor], interval: float) -> list[Floor]:
    kept = []
    for _, group in groupby(floors, key=lambda floor: floor.snapshot.at_seconds // interval):
        one, *others = group
        for other in others:
            one = merged(one, other)
        kept.append(one)
    return kept


def _lower_process(was: ProcessReadings | None, now: ProcessReadings) -> ProcessReadings:
    if was is None:
        return now
    earlier = {name for name, value in was.values.items() if name not in now.values or value < now.values[name]}
    chosen: Mapping[str, float] = {**now.values, **{name: was.values[name] for name in earlier}}
    held: dict[str, tuple[Holder, ...]] = {}
    for name in chosen:
        source = was if name in earlier else now
        if name in source.holders:
            held[name] = source.holders[name]
    return ProcessReadings(process=now.process, values=chosen, holders=held)


def _lower_tree(before: Sequence[Reading], after: Sequence[Reading]) -> tuple[Reading, ...]:
    lowest = {reading.resource: reading for reading in after}
    for reading in before:
        known = lowest.get(reading.resource)
        if known is None or reading.value < known.value:
            lowest[reading.resource] = reading
    return tuple(lowest.values())


def _still_unread(
    snapshot: Snapshot, processes: Sequence[ProcessReadings], tree: Sequence[Reading]
) -> tuple[Unread, ...]:
    """What the later look could not read, and the earlier neither."""
    if not snapshot.unread:
        return ()
    read: set[tuple[str, int | None]] = {(reading.resource, None) for reading in tree}
    read.update((name, one.process.pid) for one in processes for name in one.values)
    return tuple(one for one in snapshot.unread if (one.resource, one.pid) not in read)


def _joined(before: Sequence[Resource], after: Sequence[Resource]) -> tuple[Resource, ...]:
    """New resources of both, each once; usually there are none."""
    return tuple({resource.name: resource for resource in (*before, *after)}.values())
