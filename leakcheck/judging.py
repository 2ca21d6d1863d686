"""Each resource through the rules, one after the other: what grew, by whom, whether it lasts, what explains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from leakcheck import conduct
from leakcheck.detect import Judgement
from leakcheck.detect.bounded import heed_bound
from leakcheck.detect.confirmation import confirm
from leakcheck.detect.counts import BY_CHANCE, FEWEST_FLOORS, judge_count
from leakcheck.detect.explained import explain
from leakcheck.detect.idle import weigh_idle
from leakcheck.detect.levels import judge_level
from leakcheck.detect.pages import weigh_pages
from leakcheck.detect.stored import name_stored
from leakcheck.detect.weak import withdraw
from leakcheck.history import Track, end_of_confirming, end_of_fresh, end_of_judged, first_judged, series_of, up_to
from leakcheck.model.event import Floor, TargetInfo
from leakcheck.model.finding import Shape, Suspect, Verdict
from leakcheck.model.kinds import is_part_of
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.model.reading import REGISTRY, Statistic
from leakcheck.model.series import Series

_STORES = ("metric.", "memory.", "files.", "heap.", "node.", REGISTRY)
"""Where what a tool stores shows."""
_INSIDE = ("heap.", "node.")
_MEMORY = ("memory.", *_INSIDE)
_BYTES_INSIDE = frozenset({"heap.malloc", "node.heap"})
"""What a process counts of its own bytes: the system's pages hold at least that."""
_SECOND_VIEWS = {
    "fds.socket": "sockets.",
    "fds.file": "files.deleted",
    "heap.blocks": "heap.objects",
    "threads": "threads.",
}
"""Where a resource's pieces have better names than in the resource itself."""
_MOST_SUSPECTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One resource, judged."""

    track: Track
    series: Series
    """Up to the last judged floor."""
    first: int
    judgement: Judgement


class Case:
    """All floors of one audit, with the places where its parts begin."""

    def __init__(self, plan: AuditPlan, target: TargetInfo, floors: list[Floor], followed: Mapping[str, Track]) -> None:
        self.plan, self.target, self.floors, self.followed = plan, target, floors, followed
        self.first, self.end = first_judged(floors), end_of_judged(floors)
        self.fresh_end, self.idle_end = end_of_fresh(floors), end_of_confirming(floors)

    @cached_property
    def by_chance(self) -> float:
        """What each resource may be wrong by, so that all together are wrong no more often than one would be."""
        judged = sum(1 for track in self.followed.values() if track.seen and track.resource.judged)
        return BY_CHANCE / max(1, judged)

    @cached_property
    def troubles(self) -> tuple[str, ...]:
        """What went wrong with the audit itself."""
        return () if self.plan.driver is DriverKind.NONE else conduct.troubles(self.floors[: self.end])

    def judge(self, names: Sequence[str]) -> list[Judged]:
        """Judge the named resources: counts first, then memory in their light."""
        alone = {name: self._judge_alone(name) for name in names}
        fillers = [
            (one.series, one.first)
            for one in alone.values()
            if one.series.resource.bound_by
            and one.judgement.shape in {Shape.FILLING, Shape.PLATEAU}
            and one.judgement.verdict in {Verdict.CLEAN, Verdict.UNDECIDED}
            and one.series.values[-1] > one.series.values[one.first]
        ]
        leaking = [
            one.series
            for name, one in alone.items()
            if name.startswith(REGISTRY) and one.judgement.verdict is Verdict.LEAK
        ]
        for name in sorted(alone, key=lambda name: name.startswith("memory.")):
            one = alone[name]
            leaks_inside = any(alone[key].judgement.verdict is Verdict.LEAK for key in _BYTES_INSIDE & alone.keys())
            if name.startswith(_INSIDE) or (name.startswith("memory.") and not leaks_inside):
                judgement = explain(one.judgement, one.series, one.first, fillers, leaking, self.by_chance)
                alone[name] = replace(one, judgement=judgement)
        inside = [one.judgement for name, one in alone.items() if name in {"heap.blocks", "heap.malloc"}]
        if "memory.anon" in alone and self._is_inside():
            pages = alone["memory.anon"]
            alone["memory.anon"] = replace(pages, judgement=weigh_pages(pages.judgement, inside))
        return [self._with_suspects(one) for one in alone.values()]

    def _judge_alone(self, name: str) -> Judged:
        track = self.followed[name]
        whole = series_of(track, self.floors, self.target)
        series, first = up_to(whole, self.end), max(self.first, track.first)
        if track.first and self.end - first < FEWEST_FLOORS:
            seen = f"Seen to grow for the first time {self.end - first} floors before the end: too late to be judged."
            late = Judgement(verdict=Verdict.NOT_JUDGED, shape=None, evidence=seen)
            return Judged(track=track, series=series, first=first, judgement=late)
        judgement = self._stored(self._shape(series, first), series)
        judgement = confirm(judgement, up_to(whole, self.fresh_end), first, self.end)
        judgement = weigh_idle(judgement, up_to(whole, self.idle_end), first, self.fresh_end)
        judgement = heed_bound(judgement, up_to(whole, self.idle_end))
        judgement = withdraw(judgement, series, first, self.troubles)
        return Judged(track=track, series=series, first=first, judgement=judgement)

    def _shape(self, series: Series, first: int) -> Judgement:
        whole = all(value == int(value) for value in series.values)
        counted = series.resource.statistic is Statistic.COUNT and whole
        judgement = (judge_count if counted else judge_level)(series, first, self.by_chance)
        return name_stored(judgement, series, first)

    def _stored(self, judgement: Judgement, series: Series) -> Judgement:
        """Leave undecided what may be what an operation stores, where nothing undoes it."""
        stores = series.resource.name.startswith(_STORES)
        writes = judgement.operation is not None and any(
            is_part_of(kind, judgement.operation) for kind in self.target.writes
        )
        if judgement.verdict is not Verdict.LEAK or not stores or not writes or self.plan.tools.undo:
            return judgement
        return replace(
            judgement,
            verdict=Verdict.UNDECIDED,
            shape=Shape.STORED,
            evidence=f"{judgement.evidence} {judgement.operation} does not declare to be read-only, so this may be "
            "what it stores: name the tool that deletes it with --undo.",
        )

    def _is_inside(self) -> bool:
        """Whether the heap of all that has memory worth the name is counted inside."""
        last = self.floors[self.end - 1].snapshot.processes
        everything = sum(one.values.get("memory.anon", 0.0) for one in last)
        counted = sum(one.values.get("memory.anon", 0.0) for one in last if "heap.blocks" in one.values)
        return everything > 0 and counted >= 0.9 * everything

    def _with_suspects(self, one: Judged) -> Judged:
        if one.judgement.verdict is not Verdict.LEAK:
            return one
        blamed = (*self._suspects(one), *one.judgement.suspects)
        return replace(one, judgement=replace(one.judgement, suspects=blamed))

    def _suspects(self, one: Judged) -> tuple[Suspect, ...]:
        """Name the roles and holders that grew over the judged floors, largest first."""
        name, track, first, last = one.track.resource.name, one.track, one.first, self.end - 1
        views = [
            track,
            *(other for key, other in self.followed.items() if key.startswith(_SECOND_VIEWS.get(name, "\0"))),
        ]
        grown: dict[str, float] = {}
        for view in views:
            for holder, gain in _gains(view, first, last).items():
                grown[holder] = grown.get(holder, 0.0) + gain
        if len(grown) > 1 and name.removeprefix("fds.") in grown:
            del grown[name.removeprefix("fds.")]
        blamed = sorted(((gain, holder) for holder, gain in grown.items() if gain > 0), reverse=True)[:_MOST_SUSPECTS]
        suspects = [Suspect(holder=holder, proof=f"{gain:+,.0f} over the judged rounds") for gain, holder in blamed]
        if name.startswith(_MEMORY):
            suspects = [*self._registries(first, last), *suspects][:_MOST_SUSPECTS]
        now, was = track.roles[last], track.roles[first]
        by_role = sorted(((value - was.get(role, 0.0), role) for role, value in now.items()), reverse=True)
        if by_role and by_role[0][0] > 0 and len(now) > 1:
            gain, role = by_role[0]
            suspects.insert(0, Suspect(holder=f"process {role}", proof=f"{gain:+,.0f} in this role"))
        return tuple(suspects)

    def _registries(self, first: int, last: int) -> list[Suspect]:
        """Name the containers that grew beside memory."""
        found = []
        for name, track in self.followed.items():
            if not name.startswith(REGISTRY) or not track.seen:
                continue
            gain = track.growth[last] - track.growth[max(first, track.first)]
            if gain > 0:
                found.append((gain, name.removeprefix(REGISTRY)))
        return [
            Suspect(holder=name, proof=f"{gain:+,.0f} entries over the judged rounds")
            for gain, name in sorted(found, reverse=True)
        ]


def _gains(track: Track, first: int, last: int) -> dict[str, float]:
    was = {holder.name: holder.count for holder in track.holders[first]}
    return {holder.name: holder.count - was.get(holder.name, 0.0) for holder in track.holders[last]}
