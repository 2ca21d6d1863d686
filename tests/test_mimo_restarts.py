"""The restart budget, on a clock of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mimo_server.supervision.restarts import RestartBudget


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def budget(clock: Clock, chance: float = 1.0, **changes: float) -> RestartBudget:
    figures = {"most": 5, "within": 60.0, "first_delay": 0.1, "longest_delay": 1.0, **changes}
    return RestartBudget(**figures, clock=clock, chance=lambda: chance)


def test_nothing_has_to_wait_before_the_first_failure():
    fresh = budget(Clock())
    assert (fresh.delay(), fresh.closed_for()) == (0.0, 0.0)


def test_each_failure_doubles_the_wait_up_to_the_longest():
    clock = Clock()
    tried = budget(clock, most=10)
    waits = []
    for _ in range(6):
        tried.failed()
        waits.append(round(tried.delay(), 6))
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_jitter_takes_off_up_to_half_of_the_wait():
    tried = budget(Clock(), chance=0.0)
    tried.failed()
    assert round(tried.delay(), 6) == 0.05


def test_the_wait_runs_from_the_failure_on():
    clock = Clock()
    tried = budget(clock)
    tried.failed()
    clock.now += 0.04
    assert round(tried.delay(), 6) == 0.06
    clock.now += 1
    assert tried.delay() == 0.0


def test_the_fifth_failure_within_the_time_closes_it_until_the_first_is_forgotten():
    clock = Clock()
    tried = budget(clock)
    for _ in range(5):
        assert tried.closed_for() == 0.0
        tried.failed()
        clock.now += 2
    assert tried.closed_for() == 50.0
    clock.now += 49.9
    assert tried.closed_for() > 0.0
    clock.now += 0.2
    assert tried.closed_for() == 0.0
    tried.failed()
    assert round(tried.closed_for(), 6) == 1.9  # four others are remembered still: one more try, not five


def test_failures_far_apart_never_close_it_and_do_not_lengthen_the_wait():
    clock = Clock()
    tried = budget(clock)
    for _ in range(100):
        tried.failed()
        assert round(tried.delay(), 6) == 0.1
        assert tried.closed_for() == 0.0
        clock.now += 60


@given(st.lists(st.floats(min_value=0.0, max_value=100.0), max_size=60))
def test_at_most_five_starts_fail_in_any_sixty_seconds(pauses):
    clock = Clock()
    tried = budget(clock)
    failures = []
    for pause in pauses:
        clock.now += pause
        if not tried.closed_for():
            tried.failed()
            failures.append(clock.now)
    for first, sixth in zip(failures, failures[5:], strict=False):
        assert sixth - first >= 60.0
