"""The straight line of one audit: plan → target → rounds → events → Audit."""

from __future__ import annotations

import datetime as dt
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil

from leakcheck import __version__
from leakcheck.drivers import Driver, Opened, Played
from leakcheck.endings import STOP
from leakcheck.errors import TargetDied, TargetError
from leakcheck.limits import limits
from leakcheck.model.audit import SCHEMA
from leakcheck.model.event import Copy, Ended, Event, Floor, Left, Phase, Planned, Ready, TargetInfo, Warned
from leakcheck.model.plan import AuditPlan
from leakcheck.model.reading import Process
from leakcheck.pace import costs, near_limits, round_seconds
from leakcheck.peaks import Peaks
from leakcheck.schedule import Schedule, Step, pilot
from leakcheck.settle import settle, stirring
from leakcheck.snapshots import Looker
from leakcheck.targets import Target

_COPIES_SHARE = 0.25
"""Of the budget, for starting and ending further copies of the server."""
_LEAST_FOR_COPIES = 5.0
_SETTLE_SECONDS = 2.0


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
            environment=_environment(),
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
    except KeyboardInterrupt:
        how = "interrupted"
    finally:
        parts.driver.close()
    if experiment.is_open and how == "finished":
        experiment.stop()
    parts.write(experiment.end(how))


class Experiment:
    """One target, one driver, and the rounds between them."""

    def __init__(self, parts: Parts, target: Target) -> None:
        self._parts, self._plan, self._target = parts, parts.plan, target
        self._driver, self._looker = parts.driver, parts.looker(target)
        self._done: dict[str, int] = {}
        self._floors: list[Floor] = []
        self._kinds: tuple[str, ...] = ()
        self._played: list[tuple[Played, float]] = []
        self._cpu_at_start = 0.0
        self._cpu_used = 0.0
        """At the last floor: after it the driver's processes are gone, and their times with them."""
        self.is_open = False

    def open(self) -> None:
        """Wait for the first answer and say what will be played."""
        begun = time.monotonic()
        opened = self._driver.open(self._target)
        self._looker.start_clock()
        self._cpu_at_start = self._cpu()
        self._kinds = opened.operations
        self._parts.write(
            Ready(target=self._info(opened, time.monotonic() - begun), resources=self._looker.new_resources())
        )
        self.is_open = True
        for warning in opened.warnings:
            self._parts.write(Warned(message=warning))
        self._floor(Step(phase=Phase.PILOT, doses={}), Played(done={}), {}, 0.0)

    def play(self) -> None:
        """Play the pilot, then as many rounds as the budget allows, then the copies."""
        if self._kinds:
            for step in pilot(self._kinds, self._plan.operations):
                self._round(step)
        has_copies = self._plan.driver.value == "stdio" and self._plan.command is not None
        until = self._plan.budget_seconds * (1 - _COPIES_SHARE if has_copies else 1.0)
        self._rounds(until)
        if has_copies:
            self._copies()

    def _rounds(self, until: float) -> None:
        """Play the scheduled rounds while there is time for one more and no limit is near."""
        schedule = Schedule(
            self._kinds,
            until - self._looker.elapsed(),
            rounds=self._plan.rounds,
            operations=self._plan.operations,
            seed=self._plan.seed,
        )
        while step := schedule.next(costs(self._kinds, self._played, self._floors), until - self._looker.elapsed()):
            if self._plan.rounds is None and self._looker.elapsed() + round_seconds(self._floors) > until:
                return
            self._round(step)
            if near := near_limits(self._floors):
                self._parts.write(Warned(message=f"Stopped early, before a limit is hit: {'; '.join(near)}."))
                return

    def _copies(self) -> None:
        """Start and end further copies. One that cannot be started leaves its kinds unjudged, and the rest stands."""
        whole = self._plan.budget_seconds if self._plan.rounds is None else self._looker.elapsed()
        left = max(_LEAST_FOR_COPIES, whole * _COPIES_SHARE)
        try:
            for copy in self._driver.copies(left):
                self._parts.write(copy)
        except TargetError as error:
            self._parts.write(Warned(message=str(error)))

    def stop(self) -> None:
        """End the target as its owner would, and note what outlives it."""
        if self._plan.command is None:
            return
        begun = time.monotonic()
        left = self._target.end(self._plan.grace_seconds)
        self._parts.write(
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
            auditor_cpu_seconds=self._cpu_used,
            looking_cpu_seconds=self._looker.cpu_seconds,
        )

    def _round(self, step: Step) -> None:
        begun = time.monotonic()
        if step.phase is Phase.QUIET:
            time.sleep(step.quiet_seconds)
            self._floor(step, Played(done={}), {}, time.monotonic() - begun)
            return
        peaks = Peaks(self._target.members())
        played = self._driver.play(step.doses)
        seconds = time.monotonic() - begun
        if played.problem and not any(floor.failed for floor in self._floors):
            self._parts.write(Warned(message=f"First failed operation: {played.problem}"))
        self._played.append((played, seconds))
        self._floor(step, played, peaks.highest(), seconds)

    def _floor(self, step: Step, played: Played, peaks: Mapping[str, float], seconds: float) -> None:
        """Settle, look, and write the round down."""
        before_undo: dict[str, float] = {}
        if self._plan.tools.undo and played.done:
            settle(lambda: stirring(self._target.members), _SETTLE_SECONDS)
            before_undo = _totals(self._looker, self._target.members())
            self._driver.undo()
        settled = settle(lambda: stirring(self._target.members), _SETTLE_SECONDS)
        members = self._target.members()
        if not members:
            raise TargetDied(_death(self._target))
        snapshot = self._looker.snapshot(members)
        for kind, count in played.done.items():
            self._done[kind] = self._done.get(kind, 0) + count
        floor = Floor(
            round=len(self._floors),
            phase=step.phase,
            operations={kind: self._done.get(kind, 0) for kind in self._kinds},
            planned=dict(step.doses),
            failed={kind: count for kind, count in played.failed.items() if count},
            load_seconds=seconds,
            settle_seconds=settled.seconds,
            settled=settled.stopped,
            loaded=peaks,
            before_undo=before_undo,
            snapshot=snapshot,
            resources=self._looker.new_resources(),
            limits=limits(snapshot),
        )
        self._floors.append(floor)
        self._cpu_used = self._cpu() - self._cpu_at_start
        self._parts.write(floor)

    def _cpu(self) -> float:
        """CPU seconds of this process and the driver's."""
        total = time.process_time() + self._driver.cpu_seconds
        for pid in self._driver.processes():
            try:
                times = psutil.Process(pid).cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total

    def _info(self, opened: Opened, seconds: float) -> TargetInfo:
        root = self._target.root
        return TargetInfo(
            name=self._plan.name,
            command=self._parts.command or (root.command,),
            pid=root.pid,
            started=root.started,
            server=opened.server,
            protocol=opened.protocol,
            ready_seconds=seconds,
            operations=opened.operations,
            not_played=opened.not_played,
            writes=opened.writes,
            root=root,
        )


def _totals(looker: Looker, members: tuple[Process, ...]) -> dict[str, float]:
    snapshot = looker.snapshot(members)
    totals = {reading.resource: reading.value for reading in snapshot.tree}
    for one in snapshot.processes:
        for name, value in one.values.items():
            totals[name] = totals.get(name, 0.0) + value
    return totals


def _death(target: Target) -> str:
    code = target.exit_code()
    how = "is gone" if code is None else f"ended with signal {-code}" if code < 0 else f"ended with exit code {code}"
    last = "\n".join(target.last_lines())
    return f"The target {how} in the middle of the audit; what was seen until then is kept." + (
        f" Its last lines:\n{last}" if last else " It printed nothing."
    )


def _environment() -> dict[str, str | int | float]:
    return {
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cores": os.cpu_count() or 0,
        "memory_bytes": psutil.virtual_memory().total,
        "load_1min": os.getloadavg()[0],
    }
