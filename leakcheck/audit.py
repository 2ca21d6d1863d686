"""The straight line of one audit: plan → target → rounds → events → Audit."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from leakcheck import __version__, abandoning, conduct
from leakcheck.drivers import Driver, Opened
from leakcheck.endings import STOP
from leakcheck.errors import TargetDied, TargetError
from leakcheck.judged_rounds import JudgedRounds
from leakcheck.model.audit import SCHEMA
from leakcheck.model.event import Copy, Ended, Event, Left, Planned, Ready, Sized, TargetInfo, Warned
from leakcheck.model.kinds import without_era
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.pace import costs
from leakcheck.rounds import Rounds
from leakcheck.schedule import pilot
from leakcheck.snapshots import Looker
from leakcheck.targets import Target

_COPIES_SHARE = 0.25
"""Of the budget, for starting and ending further copies of the server."""
_LEAST_FOR_COPIES = 5.0
_LEAST_FOR_ROUNDS = 0.5
"""Of the budget: a long idle time of sessions takes its seconds beyond it rather than from the judged rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the composition root puts together for one audit."""

    plan: AuditPlan
    """As it is written down: `{port}` unfilled."""
    command: tuple[str, ...]
    """The target's, `{port}` filled; empty with `--pid`."""
    start: Callable[[], Target]
    driver: Driver
    looker: Callable[[Target], Looker]
    reach: Callable[[Target], tuple[str, ...]]
    """Brings agents into a target that runs already; returns who could not be reached, and why."""
    leave: Callable[[Target], tuple[str, ...]]
    """Takes them out again."""
    write: Callable[[Event], object]
    """Takes each event as it happens: the journal first, then whoever watches."""


def run(parts: Parts) -> None:
    """Audit the target; each event goes to `parts.write` as it happens, the last one tells how it ended.

    A KeyboardInterrupt ends the playing early and is not raised again. One that comes while the target is started or
    stopped is raised, as every error: the target is gone by then, and `closing` gives the last event.
    Raises UsageError or TargetError when the target never answered.
    """
    plan = parts.plan
    parts.write(
        Planned(
            schema=SCHEMA,
            version=__version__,
            at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            plan=plan,
            environment=conduct.environment(),
        )
    )
    with parts.start() as target:
        _run(parts, Experiment(parts, target))


def closing(how: str) -> Ended:
    """Return the last event of an audit that ended before or after its experiment."""
    return Ended(how=how, wall_seconds=0.0, auditor_cpu_seconds=0.0, looking_cpu_seconds=0.0)


def _run(parts: Parts, experiment: Experiment) -> None:
    how = "finished"
    try:
        experiment.open()
        experiment.play()
    except TargetDied as error:
        if not experiment.is_open:
            raise
        how = "target died"
        parts.write(Warned(message=str(error)))
        if parts.plan.driver in (DriverKind.STDIO, DriverKind.MCP_HTTP):
            parts.write(Warned(message="If one kind of operation ends it, --skip KIND plays the others without it."))
    except KeyboardInterrupt:
        how = "interrupted"
    finally:
        experiment.let_go()
        parts.driver.close()
    if experiment.is_open and how == "finished":
        experiment.stop()
    parts.write(experiment.end(how))


class Experiment:
    """One target, one driver, and what is played in which order."""

    def __init__(self, parts: Parts, target: Target) -> None:
        self._plan, self._command, self._target, self._driver = parts.plan, parts.command, target, parts.driver
        self._looker, self._write = parts.looker(target), parts.write
        self._reach, self._leave = parts.reach, parts.leave
        self._rounds = Rounds(parts.plan, target, parts.driver, self._looker, parts.write)
        self._ready: Ready | None = None
        self._kinds: tuple[str, ...] = ()
        self._apart: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the target has answered."""
        return self._ready is not None

    def open(self) -> None:
        """Wait for the first answer and say what will be played."""
        begun = time.monotonic()
        opened = self._driver.open(self._target)
        unreached = self._reach(self._target)
        self._looker.start_clock()
        self._kinds, self._apart = opened.operations, opened.apart
        ready = Ready(target=self._info(opened, time.monotonic() - begun), resources=self._looker.new_resources())
        self._write(ready)
        self._ready = ready
        for warning in (*opened.warnings, *unreached):
            self._write(Warned(message=warning))
        self._rounds.begin((*self._kinds, *self._apart))

    def play(self) -> None:
        """Play the pilot, as many rounds as fit, the suspects alone, sessions to abandon, and the copies."""
        if self._kinds:
            for step in pilot(self._kinds, self._plan.operations):
                self._rounds.take(step)
        has_copies = self._plan.driver is DriverKind.STDIO and self._plan.command is not None
        abandonment = abandoning.planned(self._plan, self._session_seconds()) if self._apart else None
        until = self._plan.budget_seconds * (1 - _COPIES_SHARE if has_copies else 1.0)
        if abandonment is not None:
            until = max(_LEAST_FOR_ROUNDS * self._plan.budget_seconds, until - abandonment.seconds * len(self._apart))
        judged = JudgedRounds(self._plan, self._opened(), self._rounds, self._looker.elapsed, self._write)
        judged.play(until)
        if self._kinds:
            self._size(judged.standing().registries)
        if abandonment is not None:
            for kind in self._apart:
                judged.take_all(abandonment.steps(kind))
        if has_copies:
            self._copies()

    def _session_seconds(self) -> float:
        """Wall time that opening one session adds to a round, as the pilot's sessions show."""
        known = costs(self._kinds, self._rounds.played, self._rounds.floors).seconds_per_operation
        return max((cost for kind, cost in known.items() if without_era(kind) == "session"), default=0.0)

    def _opened(self) -> Ready:
        if self._ready is None:
            raise RuntimeError("nothing was opened")
        return self._ready

    def _size(self, grew: Sequence[str]) -> None:
        """Ask how large the entries are of the containers that grew."""
        sizes = self._looker.sizes(self._target.members(), grew)
        if sizes:
            self._write(Sized(bytes_per_entry=sizes))

    def _copies(self) -> None:
        """Start and end further copies. One that cannot be started leaves its kinds unjudged, and the rest stands."""
        whole = self._plan.budget_seconds if self._plan.rounds is None else self._looker.elapsed()
        left = max(_LEAST_FOR_COPIES, whole * _COPIES_SHARE)
        try:
            for copy in self._driver.copies(left):
                self._write(copy)
        except TargetError as error:
            self._write(Warned(message=str(error)))

    def let_go(self) -> None:
        """Close what the probes opened in the target: an inspector that is spoken to keeps Node from ending."""
        self._looker.close()
        for warning in self._leave(self._target):
            self._write(Warned(message=warning))

    def stop(self) -> None:
        """End the target as its owner would, and note what outlives it."""
        if self._plan.command is None:
            return
        begun = time.monotonic()
        left = self._target.end(self._plan.grace_seconds)
        self._write(
            Copy(
                operation=STOP,
                number=0,
                ended_seconds=time.monotonic() - begun,
                left=tuple(Left(what="process", name=process.role) for process in left),
            )
        )

    def end(self, how: str) -> Ended:
        """Return the last event."""
        return Ended(
            how=how,
            wall_seconds=self._looker.elapsed() if self.is_open else 0.0,
            auditor_cpu_seconds=self._rounds.cpu_seconds,
            looking_cpu_seconds=self._looker.cpu_seconds,
        )

    def _info(self, opened: Opened, seconds: float) -> TargetInfo:
        root = self._target.root
        return TargetInfo(
            name=self._plan.name,
            command=self._command or (root.command,),
            pid=root.pid,
            started=root.started,
            server=opened.server,
            protocol=opened.protocol,
            ready_seconds=seconds,
            operations=opened.operations,
            not_played=opened.not_played,
            writes=opened.writes,
            invokes=opened.invokes,
            apart=opened.apart,
            root=root,
        )
