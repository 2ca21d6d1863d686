"""Sessions that are opened and left: how many, how long to wait for them, and what the floors say of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from leakcheck.detect import Judgement
from leakcheck.detect.abandoned import Held, Wave, all_given_back, judge_abandoned, only_held
from leakcheck.history import tracks
from leakcheck.model.event import Floor, Phase
from leakcheck.model.finding import Verdict
from leakcheck.model.plan import AuditPlan
from leakcheck.model.reading import Resource, Statistic
from leakcheck.schedule import Step

SESSIONS = Resource(
    name="sessions", unit="sessions", statistic=Statistic.COUNT, per_process=False, title="abandoned sessions"
)
"""What is judged when no single resource stands out."""
_MOST_SESSIONS = 200
"""In a wave: at 40 KiB each it is 8 MB, which no allocator hides."""
_FEWEST_SESSIONS = 10
_WAVE_SECONDS = 3.0
_WAVES = 3
_SHARE = 0.5
"""Of the budget, that three waves may take; else there are two."""
_UNDECLARED_WAIT = 8.0
"""Seconds of watching whether sessions are released, where no idle time is declared."""
_LIMIT_SECONDS = 20.0
"""For reaching a declared limit three times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandonment:
    """The phase of abandoned sessions."""

    waves: int
    sessions: int
    """In each."""
    wait_seconds: float
    """After each; 0: none."""

    @property
    def seconds(self) -> float:
        """What it takes of the budget."""
        return self.waves * (self.wait_seconds + _WAVE_SECONDS)

    def steps(self, kind: str) -> Iterator[Step]:
        """Yield its rounds."""
        for _ in range(self.waves):
            yield Step(phase=Phase.ABANDON, doses={kind: self.sessions})
            if self.wait_seconds:
                yield Step(phase=Phase.WAIT, doses={}, quiet_seconds=self.wait_seconds)


def planned(plan: AuditPlan, session_seconds: float) -> Abandonment:
    """Choose waves, their size and the wait, for a server that opens a session in `session_seconds`."""
    by_time = int(_WAVE_SECONDS / max(session_seconds, 1e-6))
    sessions = max(_FEWEST_SESSIONS, min(_MOST_SESSIONS, by_time))
    idle, limit = plan.session_idle_seconds, plan.session_limit
    if idle is not None and _reachable(plan, idle):
        wait = _wait(idle)
        many = _WAVES * (wait + _WAVE_SECONDS) <= _SHARE * plan.budget_seconds
        return Abandonment(waves=_WAVES if many else 2, sessions=sessions, wait_seconds=wait)
    if idle is None and limit is not None and limit * _WAVES * session_seconds <= _LIMIT_SECONDS:
        return Abandonment(waves=_WAVES, sessions=limit, wait_seconds=0.0)
    return Abandonment(waves=1, sessions=sessions, wait_seconds=_UNDECLARED_WAIT)


def _wait(idle: float) -> float:
    """Return the time after which an idle session must be gone: servers look in turns, so half as long again."""
    return idle * 1.5 + 1.0


def _reachable(plan: AuditPlan, idle: float) -> bool:
    return 2 * _wait(idle) <= max(60.0, plan.budget_seconds)


def judge(plan: AuditPlan, resources: Sequence[Resource], floors: Sequence[Floor]) -> list[tuple[Resource, Judgement]]:
    """Judge the floors of the phase: each resource that was kept, or one judgement of all where none was.

    Nothing where no session was abandoned. Does not see: what a server writes to disk for a session.
    """
    everything = _held(resources, floors)
    if not everything:
        return []
    idle, limit = plan.session_idle_seconds, plan.session_limit
    failed = sum(next(floor.failed.values() for floor in floors if floor.phase is Phase.ABANDON))
    if 2 * failed > everything[0].waves[0].sessions:
        evidence = f"{failed} of {everything[0].waves[0].sessions} sessions could not be opened to be abandoned."
        return [(SESSIONS, Judgement(verdict=Verdict.NOT_JUDGED, shape=None, evidence=evidence, operation="abandon"))]
    waits = sum(floor.load_seconds for floor in floors if floor.phase is Phase.WAIT)
    if len(everything[0].waves) < 2:
        return [(SESSIONS, only_held(everything, waits, _why(idle, limit)))]
    declared = f"idle time of {idle:g} s" if idle is not None else f"limit of {limit} sessions"
    kept = [(held.resource, judged) for held in everything if (judged := judge_abandoned(held, declared)) is not None]
    return kept or [(SESSIONS, all_given_back(everything, declared))]


def _why(idle: float | None, limit: int | None) -> str:
    if idle is not None:
        return f"Its declared idle time of {idle:g} s is too long here: raise --budget to {2 * _wait(idle):.0f}s."
    if limit is not None:
        return f"Its declared limit of {limit} sessions could not be reached in {_LIMIT_SECONDS:.0f} s."
    return "Declare the server's idle time with --session-idle, or its limit with --session-limit, to have it judged."


def _held(resources: Sequence[Resource], floors: Sequence[Floor]) -> list[Held]:
    """Follow every judged resource through the waves; one that was not read at each of their floors is left out."""
    spans = list(_spans(floors))
    if not spans:
        return []
    found = []
    for track in tracks([one for one in resources if one.judged], floors).values():
        used = range(spans[0][0], spans[-1][2] + 1)
        if not all(track.present[index] for index in used) or any(track.broken[index] for index in used[1:]):
            continue
        waves = tuple(
            Wave(
                sessions=_abandoned(floors, after),
                before=track.growth[before],
                after=track.growth[after],
                waited=track.growth[waited],
            )
            for before, after, waited in spans
        )
        found.append(Held(resource=track.resource, waves=waves))
    return found


def _spans(floors: Sequence[Floor]) -> Iterator[tuple[int, int, int]]:
    """Yield for each wave the indices of the floor before it, after it, and after the wait."""
    for index, floor in enumerate(floors):
        if floor.phase is Phase.ABANDON and index and _abandoned(floors, index):
            waited = index + 1 < len(floors) and floors[index + 1].phase is Phase.WAIT
            yield index - 1, index, index + 1 if waited else index


def _abandoned(floors: Sequence[Floor], index: int) -> int:
    """Sessions that this round opened and left, or tried to."""
    now, before = floors[index].operations, floors[index - 1].operations
    return sum(now.get(kind, 0) - before.get(kind, 0) for kind in floors[index].planned)
