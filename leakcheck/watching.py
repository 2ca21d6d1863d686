"""A watch: looks at a target that somebody else works, and drives nothing."""

from __future__ import annotations

import ctypes
import datetime as dt
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from leakcheck import __version__
from leakcheck.conduct import environment
from leakcheck.endings import STOP
from leakcheck.limits import limits
from leakcheck.model.audit import SCHEMA
from leakcheck.model.event import Copy, Ended, Event, Floor, Left, Phase, Planned, Ready, TargetInfo, Warned
from leakcheck.model.moment import Moment
from leakcheck.model.plan import AuditPlan
from leakcheck.model.reading import totals
from leakcheck.rolling import Rolling
from leakcheck.snapshots import Looker
from leakcheck.targets import Target
from leakcheck.targets.tree import lives
from leakcheck.thinning import interval_at, merged

_LOOK_EVERY = 1.0
"""Seconds: a screen is read no faster, and an interval has looks enough for its lowest to mean something."""
_LOOKS_A_FLOOR = 2.0
"""At least, where the intervals are short."""
_CPU_SHARE = 0.01
"""Of a core, for looking."""
_WALL_SHARE = 0.1
"""Of the time, for looking: where it waits for a metrics page, whoever serves that works for us."""
_LONGEST_PERIOD = 60.0
_NOT_DRIVEN = (
    "Nothing was driven: what grows may also be traffic that grows. Where the verdict matters, let `leakcheck audit` "
    "play a known load."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the composition root puts together for one watch."""

    plan: AuditPlan
    command: tuple[str, ...]
    """The target's; empty for one that runs already."""
    every_seconds: float
    """Between floors, at first."""
    for_seconds: float | None
    """None: until it is ended."""
    start: Callable[[], Target]
    looker: Callable[[Target], Looker]
    write: Callable[[Event], object]
    """Takes each event: the journal."""
    seen: Callable[[], Sequence[Event]]
    """The events so far, with their floors thinned."""
    harmless: Callable[[Floor], Floor]
    """Takes the credentials out of a look that is shown."""
    tell: Callable[[Moment], None]
    """Takes what is known after each look: the screen, and who asks over HTTP."""


def watch(parts: Parts) -> None:
    """Watch the target until its time is up, it ends, or a KeyboardInterrupt comes: for a watch that is its end.

    Each event goes to `parts.write`, the last one tells how it ended. A KeyboardInterrupt that comes while the target
    is started or stopped is raised, and so is every error: UsageError or TargetError when there is no target.
    """
    parts.write(
        Planned(
            schema=SCHEMA,
            version=__version__,
            at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            plan=parts.plan,
            environment=environment(),
        )
    )
    with parts.start() as target:
        watching = _Watch(parts, target)
        lived = True
        try:
            watching.open()
            lived = watching.look_on()
        except KeyboardInterrupt:
            if not watching.is_open:
                raise
        watching.close(lived=lived)


class _Watch:
    """One target, looked at again and again."""

    def __init__(self, parts: Parts, target: Target) -> None:
        self._parts, self._target, self._looker = parts, target, parts.looker(target)
        self._rolling = Rolling(parts.seen)
        self._pending: Floor | None = None
        """The lowest of the looks of the interval that is not over yet."""
        self._first: Mapping[str, float] = {}
        self._cpu_at_start = self._looking_cpu = 0.0
        self.is_open = False

    def open(self) -> None:
        """Say who is watched, and begin to count time."""
        self._looker.start_clock()
        self._cpu_at_start = time.process_time()
        self._parts.write(Ready(target=self._info(), resources=self._looker.new_resources()))
        self.is_open = True
        self._parts.write(Warned(message=_NOT_DRIVEN))

    def look_on(self) -> bool:
        """Look until the time is up; False when the target has ended before."""
        until = self._parts.for_seconds or math.inf
        while self._looker.elapsed() < until:
            begun, cpu = time.monotonic(), time.thread_time()
            look = self._look()
            if look is None:
                return False
            self._take(look)
            cost = time.thread_time() - cpu
            self._looking_cpu += cost
            period = self._period(cost, time.monotonic() - begun)
            self._tell(look)
            self._rest(min(begun + period - time.monotonic(), until - self._looker.elapsed()))
        return True

    def _rest(self, seconds: float) -> None:
        """Wait for the next look, or for the target's end."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and lives(self._target.root):
            time.sleep(min(left, _LOOK_EVERY))

    def close(self, *, lived: bool) -> None:
        """Write the last floor, end a target that was started here, and say how it ended."""
        if self._pending is not None and (not self._rolling.floors() or (lived and self._is_half_over())):
            self._write_floor(self._pending)
        ended = self._ended("finished")
        if self._parts.plan.command is not None:
            self._stop(by_us=lived)
        elif not lived:
            pid = self._target.root.pid
            self._parts.write(Warned(message=f"Process {pid} has ended; what was seen until then is kept."))
            ended = replace(ended, how="target died")
        self._parts.write(ended)

    def _look(self) -> Floor | None:
        """Look once; None when the target has ended, also during the look: what is dying lets go of everything."""
        snapshot = self._looker.snapshot(self._target.members())
        if not lives(self._target.root):
            return None
        look = Floor(
            round=0,
            phase=Phase.QUIET,
            operations={},
            planned={},
            failed={},
            load_seconds=interval_at(self._parts.every_seconds, snapshot.at_seconds),
            settle_seconds=0.0,
            settled=True,
            loaded={},
            before_undo={},
            snapshot=snapshot,
            resources=self._looker.new_resources(),
        )
        return self._parts.harmless(look)

    def _take(self, look: Floor) -> None:
        """Add a look to its interval; the first look of an interval closes the one before."""
        self._first = self._first or totals(look.snapshot)
        if self._pending is None or _slot(self._pending) == _slot(look):
            self._pending = look if self._pending is None else merged(self._pending, look)
            return
        self._write_floor(self._pending)
        self._pending = look

    def _write_floor(self, floor: Floor) -> None:
        self._pending = None
        self._parts.write(replace(floor, limits=limits(floor.snapshot)))
        self._rolling.floor_was_added()

    def _is_half_over(self) -> bool:
        """Whether the interval that runs has had looks enough: a floor of a few would lie too high."""
        if self._pending is None:
            return False
        interval, number = _slot(self._pending)
        return self._looker.elapsed() >= (number + 0.5) * interval

    def _period(self, cpu: float, wall: float) -> float:
        """Return the time from one look to the next, given what this one cost."""
        wanted = min(_LOOK_EVERY, self._parts.every_seconds / _LOOKS_A_FLOOR)
        return min(_LONGEST_PERIOD, max(wanted, cpu / _CPU_SHARE, wall / _WALL_SHARE))

    def _tell(self, look: Floor) -> None:
        """Judge if it is time, and tell what is known now."""
        elapsed, unix, cpu = self._looker.elapsed(), time.time(), time.thread_time()
        is_due = self._rolling.is_due(elapsed)
        if is_due:
            self._rolling.judge(elapsed, self._ended("finished"))
        audit, floor, judged_at = self._rolling.last()
        self._parts.tell(
            Moment(
                audit=audit,
                floor=floor,
                look=look,
                first=self._first,
                elapsed_seconds=elapsed,
                unix_seconds=unix,
                judged_seconds=judged_at,
                cpu_share=(time.process_time() - self._cpu_at_start) / max(elapsed, 1.0),
                resident_bytes=_resident_bytes(),
            )
        )
        if is_due:  # whoever is told shows new verdicts in full, and that is part of their cost
            _give_memory_back()
            self._rolling.cost_seconds = time.thread_time() - cpu

    def _stop(self, *, by_us: bool) -> None:
        """Note what outlives the command; end it before, as its owner would, if that is for us to do.

        What outlives an end that we brought about is told and not judged: a shell that is asked to end leaves its
        pipeline to whoever asked. Nor is a command judged by its end alone that was over before the first look.
        """
        begun = time.monotonic()
        left = self._target.end(self._parts.plan.grace_seconds)
        code = self._target.exit_code()
        if by_us:
            if left:
                names = ", ".join(sorted({process.role for process in left}))
                self._parts.write(Warned(message=f"Still there after the command was asked to end; killed: {names}."))
            return
        if code:
            how = f"exit code {code}" if code > 0 else f"signal {-code}"
            self._parts.write(Warned(message=f"The command ended with {how}; see its output in target.log."))
        if left or self._rolling.floors():
            self._parts.write(
                Copy(
                    operation=STOP,
                    number=0,
                    ended_seconds=time.monotonic() - begun,
                    left=tuple(Left(what="process", name=process.role) for process in left),
                )
            )

    def _ended(self, how: str) -> Ended:
        return Ended(
            how=how,
            wall_seconds=self._looker.elapsed(),
            auditor_cpu_seconds=time.process_time() - self._cpu_at_start,
            looking_cpu_seconds=self._looking_cpu,
        )

    def _info(self) -> TargetInfo:
        root = self._target.root
        return TargetInfo(
            name=self._parts.plan.name,
            command=self._parts.command or (root.command,),
            pid=root.pid,
            started=root.started,
            server=root.role,
            protocol="watched, not driven",
            ready_seconds=0.0,
            operations=(),
            not_played=(),
            root=root,
        )


def _slot(floor: Floor) -> tuple[float, float]:
    """Length and number of the interval that a look falls into."""
    return floor.load_seconds, floor.snapshot.at_seconds // floor.load_seconds


def _give_memory_back() -> None:
    """Ask glibc to return what judging has freed: 54 MiB stay in use, and 86 without. Other libraries lack the call."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
