"""Any command that makes the load (`--drive`): one run of it is one operation.

Does not see: what the command does. Its exit code is all that is checked, and how much load one run makes is its own
affair: it should be the same each time, and leave the server as it found it.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator, Mapping

from leakcheck.credentials import Secrets
from leakcheck.drivers import Opened, Played
from leakcheck.drivers._ended import died, has_ended, last_words
from leakcheck.drivers.command_run import Run
from leakcheck.errors import NotReady, UsageError
from leakcheck.model.event import Copy, NotPlayed
from leakcheck.model.plan import AuditPlan
from leakcheck.targets import Target
from leakcheck.targets.log import visible

OPERATION = "drive"
LIMIT_SECONDS = 60.0
"""A run that takes longer is ended and counted as failed."""
OVERDUE_IN_A_ROW = 2
"""So many runs over the limit, and the rest of the round is not played: each would cost the limit again."""
_LOOK_SECONDS = 0.5
"""How often to ask whether the target lives while a run is under way: reading its tree costs about a millisecond."""
_REASON = "the command of --drive decides what is done"


class CommandDriver:
    """Runs the command again and again, one run at a time; see the protocol `Driver`."""

    def __init__(
        self,
        plan: AuditPlan,
        environment: Mapping[str, str],
        secrets: Secrets,
        *,
        limit_seconds: float = LIMIT_SECONDS,
    ) -> None:
        """`environment` (PORT, `--env`) is added to ours; it reaches the command only. Raises UsageError."""
        if not plan.drive:
            raise UsageError("--drive is empty; name the command that makes the load: --drive 'COMMAND'")
        self._plan = plan
        self._environment = dict(os.environ) | dict(environment)
        self._secrets = secrets
        self._limit = limit_seconds
        self._target: Target | None = None
        self._run: Run | None = None
        self._cpu_seconds = 0.0

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all runs that have ended, reapers included: the auditor's, as load is."""
        return self._cpu_seconds

    def open(self, target: Target) -> Opened:
        """Run the command until it exits 0 for the first time. Raises NotReady, TargetDied or UsageError."""
        self._target = target
        deadline = time.monotonic() + self._plan.ready_timeout_seconds
        pause = 0.05
        while problem := self._one_run(target, min(self._limit, max(0.1, deadline - time.monotonic())))[0]:
            if has_ended(target):
                raise died(target, "before its first answer; check COMMAND")
            if time.monotonic() + pause > deadline:
                raise NotReady(
                    f"the command of --drive did not exit with 0 within {self._plan.ready_timeout_seconds:g} s; run it"
                    f" by hand, or raise --ready-timeout; {problem}\nOf the target: {last_words(target)}"
                )
            time.sleep(pause)
            pause = min(pause * 2, 1.0)
        return Opened(
            server=target.root.role,
            protocol="driven by a command",
            operations=(OPERATION,),
            not_played=tuple(
                NotPlayed(operation=operation, reason=_REASON)
                for operation in ("session", "abandon", "disconnect", "cancel", "reject")
            ),
        )

    def play(self, doses: Mapping[str, int]) -> Played:
        """Run the command that many times, one after the other. Raises TargetDied."""
        if self._target is None or set(doses) - {OPERATION}:
            raise ValueError(f"only {OPERATION!r} was opened, not {sorted(doses)}")
        dose = doses.get(OPERATION, 0)
        done = failed = overdue = 0
        seconds = 0.0
        first_problem = None
        while done < dose and overdue < OVERDUE_IN_A_ROW:
            began = time.monotonic()
            problem, in_time = self._one_run(self._target, self._limit)
            done += 1
            failed += problem is not None
            overdue = 0 if in_time else overdue + 1
            seconds += time.monotonic() - began
            first_problem = first_problem or problem
            if has_ended(self._target):
                raise died(self._target, f"during run {done} of the command of --drive")
        if done < dose:
            first_problem = f"{first_problem}; {overdue} in a row, so {dose - done} runs were not started"
        return Played(
            done={OPERATION: done},
            failed={OPERATION: failed} if failed else {},
            seconds={OPERATION: seconds},
            problem=first_problem,
        )

    def undo(self) -> None:
        """Nothing: the command is to leave the server as it found it."""

    def copies(self, seconds: float) -> Iterator[Copy]:  # noqa: ARG002 - the protocol's signature
        """Start no copies: the command knows one server only."""
        yield from ()

    def processes(self) -> tuple[int, ...]:
        """The run that is under way, with its reaper."""
        return () if self._run is None else self._run.pids

    def close(self) -> None:
        """End a run that was interrupted; return when nothing of it is left."""
        run, self._run = self._run, None
        if run is not None:
            run.end()
            self._cpu_seconds += run.cpu_seconds

    def _one_run(self, target: Target, limit: float) -> tuple[str | None, bool]:
        """Run once; return what was wrong, and whether it ended by itself within the limit."""
        argv = self._plan.drive
        try:
            run = Run(argv, environment=self._environment, cwd=self._plan.cwd, grace_seconds=self._plan.grace_seconds)
        except OSError as error:
            raise UsageError(f"no run of --drive could be started: {error}; check --cwd {self._plan.cwd!r}") from None
        self._run = run
        in_time = self._wait(run, target, limit)
        self.close()
        if not run.executed:
            raise UsageError(
                f"the command of --drive, {self._shown(argv[0])!r}, cannot be executed: {self._shown(run.tail.text())};"
                " check its path (it is split as a shell would, but no shell runs it)"
            )
        if in_time and run.exit_code == 0:
            return None, True
        how = f"exit code {run.exit_code}" if in_time else f"not ended within {limit:.3g} s"
        said = self._shown(run.tail.text())
        command = " ".join(self._secrets.hide_command(shlex.quote(argument) for argument in argv))[:200]
        return f"{command}: {how}; " + (f"its last lines:\n  {said}" if said else "it printed nothing"), in_time

    def _wait(self, run: Run, target: Target, limit: float) -> bool:
        """Wait for the run's end within the limit; not after the target's own end."""
        deadline = time.monotonic() + limit
        while not run.wait(min(max(0.0, deadline - time.monotonic()), _LOOK_SECONDS)):
            if time.monotonic() >= deadline or has_ended(target):
                return False
        return True

    def _shown(self, text: str) -> str:
        """Hostile text, credentials hidden, control characters escaped, further lines indented."""
        return "\n  ".join(visible(line) for line in self._secrets.hide(text).split("\n"))
