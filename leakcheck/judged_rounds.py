"""The rounds that are judged: looked at now and then, and what leaks proven in fresh rounds and a quiet phase."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from leakcheck import confirming
from leakcheck.looks import Looks, is_clear
from leakcheck.model.event import Event, Ready, Warned
from leakcheck.model.plan import AuditPlan
from leakcheck.pace import costs, near_limits, round_seconds
from leakcheck.rounds import Rounds
from leakcheck.schedule import Schedule, Step
from leakcheck.verdicts import Standing, standing


class JudgedRounds:
    """Plays rounds from the warm-up on, until enough is known, the time is up, or a limit comes near."""

    def __init__(
        self,
        plan: AuditPlan,
        ready: Ready,
        rounds: Rounds,
        elapsed: Callable[[], float],
        write: Callable[[Event], object],
    ) -> None:
        """`elapsed`: seconds since the first answer."""
        self._plan, self._ready, self._rounds = plan, ready, rounds
        self._elapsed, self._write = elapsed, write
        self._kinds = ready.target.operations
        self._looks = Looks(is_fixed=plan.rounds is not None)
        self._seen: tuple[int, Standing] | None = None
        self._stopped_early = False

    def play(self, until: float) -> None:
        """Play the scheduled rounds while there is time for one more, and prove what leaks by the end of them.

        Where the plan fixes no number of rounds, it looks at the verdicts now and then: a leak that is proven early
        ends the rounds, if nothing else is open or half the time is over; and so does a server that is clear by then.
        What may be held for a time only is not proven before half the time is over, within which it may come back.
        """
        schedule = Schedule(
            self._kinds,
            until - self._elapsed(),
            rounds=self._plan.rounds,
            operations=self._plan.operations,
            seed=self._plan.seed,
        )
        for last in (until * (1 - confirming.SHARE), until):  # what is kept back for proofs, where there is nothing
            if self._is_over_by(last, until, schedule):
                return
            now = self.standing()
            if now.leaks or now.later:
                self._prove(now, until)
                return

    def take_all(self, steps: Iterable[Step]) -> None:
        """Take rounds one after the other, until a limit comes near."""
        for step in steps:
            if self._stopped_early:
                return
            self._rounds.take(step)
            if near := near_limits(self._rounds.floors):
                self._write(Warned(message=f"Stopped early, before a limit is hit: {'; '.join(near)}."))
                self._stopped_early = True

    def standing(self) -> Standing:
        """Return how the verdicts stand after the last round."""
        floors = self._rounds.floors
        if self._seen is None or self._seen[0] != len(floors):
            self._seen = len(floors), standing(self._plan, self._ready, floors)
        return self._seen[1]

    def _is_over_by(self, last: float, until: float, schedule: Schedule) -> bool:
        """Play rounds up to that second; say whether the audit has ended by then, at a look or near a limit."""
        floors = self._rounds.floors
        while self._plan.rounds is not None or self._elapsed() + round_seconds(floors) <= last:
            step = schedule.next(costs(self._kinds, self._rounds.played, floors), last - self._elapsed())
            if step is None:
                break
            self.take_all([step])
            if self._stopped_early:
                return True
            if self._looks.is_due(floors, is_half_over=self._elapsed() >= until / 2):
                if self._is_over(until):
                    return True
                self._looks.looked(floors)
        return False

    def _is_over(self, until: float) -> bool:
        """Look at the verdicts so far, prove what leaks, and say whether enough is known."""
        now, is_half_over = self.standing(), self._elapsed() >= until / 2
        if not now.leaks:
            return is_half_over and not now.later and not now.undecided and is_clear(self._kinds, self._rounds.floors)
        if now.may_expire and not is_half_over:
            return False
        self._prove(now, until)
        now = self.standing()
        return bool(now.leaks) and (self._elapsed() >= until / 2 or not (now.undecided or now.later))

    def _prove(self, now: Standing, until: float) -> None:
        """Play fresh rounds, of each suspect alone and of all but them, and then nothing: what goes on, what returns?

        Time is the only thing that shows growth by time, so then there is no quiet after them.
        """
        cycles = confirming.CYCLES if self._plan.rounds else confirming.FEWEST_CYCLES
        for _ in range(cycles):
            self.take_all(confirming.cycle(now.suspects, self._kinds, self._rounds.floors))
            if self._stopped_early:
                return
        if not now.by_time:
            self._take_idle(until)

    def _take_idle(self, until: float) -> None:
        """Play nothing, for longer while something still comes back and there is time."""
        begun = self._elapsed()
        least = 0.0 if self._plan.rounds else min(until, confirming.SHORTEST_PROOF) - begun
        most = max(until - begun, confirming.SHORTEST_IDLE)
        for step in confirming.idle(self._rounds.floors, lambda: self._elapsed() - begun, most, least=least):
            self._rounds.take(step)
