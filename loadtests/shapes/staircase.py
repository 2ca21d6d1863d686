r"""Finds the knee: the rate rises step by step until a step does not meet the limit any more.

    locust -f loadtests/scenarios/search.py,loadtests/shapes/staircase.py --host http://127.0.0.1:8000 --headless \
        --users 200 --arrival-rate 400 --stairs-p99 50

A step meets the limit when the p99 of its operations, from when they were intended, is at most --stairs-p99
milliseconds, none has failed, and at least 98 of 100 that were due have ended. The knee is the rate of the last one
that does; the steps go up to --arrival-rate. Each is judged when the next one is under way, so that what it began has
ended.

Ends with exit code 0 when there is a knee, whatever failed beyond it, and with 1 where there is none.

Does not see: a knee between two steps.
"""

from __future__ import annotations

import logging

from locust.runners import MasterRunner

from loadtests import arrivals
from loadtests.shapes._shape import Shape, option

logger = logging.getLogger(__name__)
ENDED_SHARE = 0.98
"""Of the operations of a step that were due."""
SOON, REPORTED = 1.0, 5.0
"""Seconds after the end of a step until it is judged, without workers and with them: those report every three."""


class Staircase(Shape):
    """From a tenth of the rate to all of it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.is_over = False

    def reset_time(self) -> None:
        """A run begins."""
        super().reset_time()  # type: ignore[no-untyped-call]
        self.is_over = False

    def rates(self, at: float) -> float | None:
        """The rate of the step; None when a step did not meet the limit, or after the last one."""
        assert self.runner is not None  # noqa: S101 - Locust sets it before the first tick
        count, seconds = max(1, int(self.number("stairs"))), self.number("stairs_seconds")
        late = REPORTED if isinstance(self.runner, MasterRunner) else SOON
        for step in range(count):
            if not self.is_over and at >= (step + 1) * seconds + late:
                self._judge(step)
        if self.is_over or at >= count * seconds + late:
            self._tell()
            return None
        return self.target * (min(int(at / seconds), count - 1) + 1) / count

    def _judge(self, step: int) -> None:
        assert self.runner is not None  # noqa: S101 - Locust sets it before the first tick
        run = arrivals.of(self.runner.environment).run
        if step < len(run.steps) and "meets" not in run.steps[step]:
            found = run.step(step)
            ended = found["ended"] >= ENDED_SHARE * (found["due"] + found["dropped"])
            meets = ended and not found["failed"] and found.get("p99_ms", 0.0) <= self.number("stairs_p99")
            run.steps[step]["meets"] = float(meets)
            logger.info("Staircase: %g/s, p99 %g ms: %s", found["rate"], found.get("p99_ms", 0.0), _words(meets=meets))
            self.is_over = not meets

    def _tell(self) -> None:
        assert self.runner is not None  # noqa: S101 - Locust sets it before the first tick
        steps = arrivals.of(self.runner.environment).run.steps
        met = [step["rate"] for step in steps if step.get("meets")]
        if met:
            logger.info("Staircase: the knee is at %g operations a second", max(met))
            self.runner.environment.process_exit_code = 0  # what failed beyond the knee was what was looked for
        else:
            logger.warning("Staircase: no step met the limit; begin lower, with a smaller --arrival-rate")
            self.runner.environment.process_exit_code = 1


def _words(*, meets: bool) -> str:
    return "meets the limit" if meets else "does not meet the limit"


option("--stairs", 10, "steps up to --arrival-rate")
option("--stairs-seconds", 15.0, "seconds of one step")
option("--stairs-p99", 50.0, "milliseconds that the p99 of a step may take, from the intended start")
