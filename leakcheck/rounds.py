"""One round: play its doses, let the target settle, look, and write the floor down."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import psutil

from leakcheck.drivers import Driver, Played
from leakcheck.errors import TargetDied
from leakcheck.limits import limits
from leakcheck.model.event import Event, Floor, Phase, Warned
from leakcheck.model.plan import AuditPlan
from leakcheck.model.reading import totals
from leakcheck.peaks import Peaks
from leakcheck.schedule import Step
from leakcheck.settle import settle, stirring
from leakcheck.snapshots import Looker
from leakcheck.targets import Target

_SETTLE_SECONDS = 2.0
_IDLE = (Phase.QUIET, Phase.IDLE, Phase.WAIT)


class Rounds:
    """The floors of one experiment so far, and how the next one is made."""

    def __init__(
        self, plan: AuditPlan, target: Target, driver: Driver, looker: Looker, write: Callable[[Event], object]
    ) -> None:
        self._plan, self._target, self._driver = plan, target, driver
        self._looker, self._write = looker, write
        self._kinds: tuple[str, ...] = ()
        self._done: dict[str, int] = {}
        self._cpu_at_start = 0.0
        self.floors: list[Floor] = []
        self.played: list[tuple[Played, float]] = []
        """What each playing round did, and its wall seconds."""
        self.cpu_seconds = 0.0
        """Of this process and the driver's since `begin`, at the last floor: then the driver's processes are gone."""

    def begin(self, kinds: tuple[str, ...]) -> None:
        """Start to count operations of these kinds, and CPU time; take the first floor."""
        self._kinds, self._cpu_at_start = kinds, self._cpu()
        self._floor(Step(phase=Phase.PILOT, doses={}), Played(done={}), {}, 0.0)

    def take(self, step: Step) -> None:
        """Play one round, and add its floor. Raises TargetDied."""
        begun = time.monotonic()
        if step.phase in _IDLE:
            time.sleep(step.quiet_seconds)
            self._floor(step, Played(done={}), {}, time.monotonic() - begun)
            return
        peaks = Peaks(self._target.members())
        played = self._driver.play(step.doses)
        seconds = time.monotonic() - begun
        if played.problem and not any(floor.failed for floor in self.floors):
            self._write(Warned(message=f"First failed operation: {played.problem}"))
        self.played.append((played, seconds))
        self._floor(step, played, peaks.highest(), seconds)

    def _floor(self, step: Step, played: Played, peaks: Mapping[str, float], seconds: float) -> None:
        before_undo: dict[str, float] = {}
        if self._plan.tools.undo and played.done:
            settle(lambda: stirring(self._target.members), _SETTLE_SECONDS)
            before_undo = totals(self._looker.snapshot(self._target.members()))
            self._driver.undo()
        settled = settle(lambda: stirring(self._target.members), _SETTLE_SECONDS)
        members = self._target.members()
        if not members:
            raise TargetDied(_death(self._target))
        snapshot = self._looker.snapshot(members)
        for kind, count in played.done.items():
            self._done[kind] = self._done.get(kind, 0) + count
        floor = Floor(
            round=len(self.floors),
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
            load_cpu_seconds=played.cpu_seconds,
            resources=self._looker.new_resources(),
            limits=limits(snapshot),
        )
        self.floors.append(floor)
        self.cpu_seconds = self._cpu() - self._cpu_at_start
        self._write(floor)

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


def _death(target: Target) -> str:
    code = target.exit_code()
    how = "is gone" if code is None else f"ended with signal {-code}" if code < 0 else f"ended with exit code {code}"
    last = "\n".join(target.last_lines())
    return f"The target {how} in the middle of the audit; what was seen until then is kept." + (
        f" Its last lines:\n{last}" if last else " It printed nothing."
    )
