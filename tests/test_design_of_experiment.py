"""The plan of doses, the rounds of one operation alone, and what they say of a leak's cause."""

import dataclasses
import random
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakcheck.detect import Judgement
from leakcheck.detect.attribution import attribute
from leakcheck.detect.confirmation import confirm
from leakcheck.detect.counts import judge_count
from leakcheck.detect.levels import judge_level
from leakcheck.doses import signs
from leakcheck.model.event import Phase
from leakcheck.model.finding import Per, Rate, Shape, Verdict
from leakcheck.model.reading import Resource, Statistic
from leakcheck.model.series import Series
from leakcheck.schedule import Costs, Schedule

KINDS = ("call:a", "call:b", "reject", "session")
ERAS = ("call:a@2025-11-25", "call:a@2026-07-28", "reject@2025-11-25", "reject@2026-07-28")


def series(values, operations, *, kinds=KINDS, unit="sockets", breaks=()):
    values = tuple(float(value) for value in values)
    statistic = Statistic.LEVEL if unit == "bytes" else Statistic.COUNT
    return Series(
        resource=Resource(name="fds.socket", unit=unit, statistic=statistic, per_process=True),
        values=values,
        totals=values,
        operations=tuple(operations),
        kinds=kinds,
        seconds=tuple(float(index) for index in range(len(values))),
        breaks=breaks,
    )


def judged_doses(rounds, kinds=KINDS):
    return [tuple(20 + 10 * sign for sign in row) for row in islice(signs(len(kinds), 1), rounds)]


def alone(index, dose=30, kinds=KINDS):
    return tuple(dose if place == index else 0 for place in range(len(kinds)))


def but(index, dose=30, kinds=KINDS):
    return tuple(0 if place == index else dose for place in range(len(kinds)))


def grown(rows, growth):
    values = [10.0]
    for number, row in enumerate(rows[1:], start=1):
        values.append(values[-1] + growth(number, row))
    return values


@given(st.integers(1, 60), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_any_number_of_kinds_gets_a_plan_in_which_no_two_columns_look_alike(kinds, seed):
    rows = np.array(list(islice(signs(kinds, seed), 4 * kinds + 8)))
    block = next(size for size in range(kinds + 1, len(rows) + 1) if (rows[:size].sum(axis=0) == 0).all())
    assert block <= 2 * kinds + 8
    overlap = rows[:block].T @ rows[:block]
    assert (overlap == block * np.eye(kinds)).all()


def test_the_plan_is_the_same_for_the_same_seed_and_another_for_another():
    first, again, other = (list(islice(signs(5, seed), 8)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_judged_rounds_of_a_schedule_have_full_rank_and_every_kind_in_each():
    kinds = tuple(f"call:{number}" for number in range(17))
    costs = Costs(seconds_per_operation=dict.fromkeys(kinds, 0.005), overhead_seconds=0.1, allowed_operations=1e9)
    schedule = Schedule(kinds, 60.0, rounds=None, operations=None, seed=1)
    steps = []
    while step := schedule.next(costs, 60.0 - len(steps)):
        steps.append(step)
    played = np.array([[step.doses[kind] for kind in kinds] for step in steps if step.phase is Phase.MAIN])
    assert played.min() >= 1
    assert np.linalg.matrix_rank(played) == len(kinds)


def test_what_both_eras_cause_alike_is_put_down_to_the_operation_in_any_era():
    rows = judged_doses(30, ERAS)
    found = attribute(series(grown(rows, lambda _, row: row[2] + row[3]), rows, kinds=ERAS), 0)
    assert found.owner.cause == "reject"
    assert found.owner.rate == pytest.approx(1.0)


def test_what_one_era_causes_is_put_down_to_that_era():
    rows = judged_doses(30, ERAS)
    found = attribute(series(grown(rows, lambda _, row: row[2]), rows, kinds=ERAS), 0)
    assert found.owner.cause == "reject@2025-11-25"


def test_eight_rounds_are_enough_for_one_cause_among_seventeen_if_only_it_acts():
    kinds = tuple(f"call:{number}" for number in range(15)) + ERAS[2:]
    rows = judged_doses(9, kinds)
    assert attribute(series(grown(rows, lambda _, row: row[4]), rows, kinds=kinds), 0).owner.cause == "call:4"
    both = attribute(series(grown(rows, lambda _, row: row[15] + row[16]), rows, kinds=kinds), 0)
    assert both.owner.cause == "reject"
    blurred = attribute(series(grown(rows, lambda _, row: row[4] + row[7] + row[9]), rows, kinds=kinds), 0)
    assert blurred.owner is None or blurred.owner.cause == "*"


def test_few_rounds_are_enough_for_what_only_one_era_has():
    kinds = (
        *(f"call:{number}" for number in range(15)),
        "session@2025-11-25",
        "reject@2025-11-25",
        "reject@2026-07-28",
    )
    rows = judged_doses(9, kinds)
    found = attribute(series(grown(rows, lambda _, row: row[15]), rows, kinds=kinds), 0)
    assert found.owner.cause == "session@2025-11-25"


def test_a_leak_in_both_eras_is_judged_a_leak_of_the_operation():
    rows = judged_doses(24, ERAS)
    judgement = judge_count(series(grown(rows, lambda _, row: row[0] + row[1]), rows, kinds=ERAS), 0)
    assert (judgement.verdict, judgement.operation) == (Verdict.LEAK, "call:a")


def accused(rows, growth, begin, unit="sockets"):
    values = grown(rows, growth)
    whole = series(values, rows, unit=unit)
    head = series(values[:begin], rows[:begin], unit=unit)
    judgement = judge_level(head, 0) if unit == "bytes" else judge_count(head, 0)
    assert (judgement.verdict, judgement.operation) == (Verdict.LEAK, "call:b")
    return confirm(judgement, whole, 0, begin)


def test_growth_in_rounds_of_the_operation_alone_confirms_it():
    rows = [*judged_doses(20), *(alone(1), but(1)) * 4]
    judgement = accused(rows, lambda _, row: row[1], 20)
    assert (judgement.verdict, judgement.operation) == (Verdict.LEAK, "call:b")
    assert "Confirmed: 120 sockets more with 120 of call:b alone, 0 sockets more with 360 of the others." in (
        judgement.evidence
    )


def test_growth_that_stops_when_the_operation_is_played_alone_is_undecided():
    rows = [*judged_doses(20), *(alone(1), but(1)) * 4]
    judgement = accused(rows, lambda number, row: row[1] if number < 20 else 0, 20)
    assert (judgement.verdict, judgement.shape) == (Verdict.UNDECIDED, Shape.FILLING)
    assert "Then it stopped" in judgement.evidence


def test_growth_with_the_others_only_clears_the_operation_and_stays_a_leak():
    rows = [*judged_doses(20), *(alone(1), but(1)) * 4]
    judgement = accused(rows, lambda number, row: row[1] if number < 20 else (row[0] and 40), 20)
    assert (judgement.verdict, judgement.operation) == (Verdict.LEAK, None)
    assert "call:b alone does not cause it" in judgement.evidence


@pytest.mark.parametrize(("keeps", "verdict"), [(1.0, Verdict.LEAK), (0.6, Verdict.UNDECIDED)])
def test_what_others_do_beside_it_does_not_make_a_leak_seem_to_slow(keeps, verdict):
    quiet = (0, 0, 0, 0)
    judged = [*judged_doses(12), quiet, quiet, *judged_doses(12)[1:], quiet, quiet]
    begin = len(judged)
    rows = [*judged, *(alone(1), but(1)) * 3]
    judgement = accused(rows, lambda number, row: row[1] * (1 if number < begin else keeps) + 10 * (row[0] > 0), begin)
    assert (judgement.verdict, judgement.operation) == (verdict, "call:b"), judgement.evidence


def test_memory_is_confirmed_through_noise_and_too_little_of_it_says_nothing():
    noise = random.Random(3)
    rows = [*judged_doses(40), *(alone(1), but(1)) * 4]

    def growth(number, row):
        return 20_000 * row[1] + noise.gauss(0, 100_000)

    judgement = accused(rows, growth, 40, unit="bytes")
    assert judgement.verdict is Verdict.LEAK
    assert "Confirmed" in judgement.evidence
    small = [*judged_doses(40), *(alone(1, 2), but(1, 2)) * 3]
    untold = accused(small, growth, 40, unit="bytes")
    assert untold.verdict is Verdict.LEAK
    assert "onfirmed" not in untold.evidence


def test_fewer_than_three_rounds_alone_and_clean_judgements_change_nothing():
    rows = [*judged_doses(20), alone(1), but(1), alone(1), but(1)]
    values = grown(rows, lambda number, row: row[1] if number < 20 else 0)
    judgement = judge_count(series(values[:20], rows[:20]), 0)
    assert confirm(judgement, series(values, rows), 0, 20) is judgement
    clean = Judgement(verdict=Verdict.CLEAN, shape=Shape.FLAT, evidence="Stayed.")
    assert confirm(clean, series(values, rows), 0, 20) is clean


def test_growth_by_time_that_stops_in_fresh_rounds_is_undecided():
    rows = [*judged_doses(20), alone(1), but(1), alone(1), but(1)]
    timed = Judgement(
        verdict=Verdict.LEAK,
        shape=Shape.TIME_DRIVEN,
        evidence="Grew.",
        rate=Rate(value=3, low=3, high=3, unit="sockets", per=Per.SECOND),
    )
    goes_on = [3.0 * index for index in range(len(rows))]
    assert confirm(timed, series(goes_on, rows), 0, 20) is timed
    stopped = [min(value, goes_on[19]) for value in goes_on]
    assert confirm(timed, series(stopped, rows), 0, 20).verdict is Verdict.UNDECIDED


def test_a_leak_that_two_share_tells_what_each_did_alone():
    rows = [*judged_doses(24), *(alone(1), alone(2), (30, 0, 0, 30)) * 3]
    values = grown(rows, lambda _, row: row[1] + row[2])
    judgement = judge_count(series(values[:24], rows[:24]), 0)
    assert (judgement.verdict, judgement.operation) == (Verdict.LEAK, None)
    assert {suspect.holder for suspect in judgement.suspects} == {"call:b", "reject"}
    told = confirm(judgement, series(values, rows), 0, 24)
    assert told.verdict is Verdict.LEAK
    assert "Played apart: " in told.evidence
    assert "90 sockets more with 90 of call:b alone" in told.evidence
    assert "90 sockets more with 90 of reject alone" in told.evidence


def test_an_era_that_is_played_more_is_not_the_cause_of_what_both_cause():
    rows = [(row[0], row[1], row[2], 4 * row[3]) for row in judged_doses(30, ERAS)]
    found = attribute(series(grown(rows, lambda _, row: row[2] + row[3]), rows, kinds=ERAS), 0)
    assert found.owner.cause == "reject"


def test_what_calls_and_cancelled_calls_of_a_tool_share_is_put_down_to_the_tool():
    kinds = ("call:a", "call:b", "cancel", "session")
    rows = judged_doses(30, kinds)
    shared = series(grown(rows, lambda _, row: row[1] + row[2]), rows, kinds=kinds)
    assert attribute(shared, 0).owner is None
    told = dataclasses.replace(shared, invokes=((2, 1),))
    assert attribute(told, 0).owner.cause == "call:b"
    assert attribute(told, 0).owner.rate == pytest.approx(1.0)


def test_a_slow_server_gets_fewer_rounds_and_still_judged_ones():
    kinds = tuple(f"call:{number}" for number in range(12))
    costs = Costs(seconds_per_operation=dict.fromkeys(kinds, 0.2), overhead_seconds=0.4, allowed_operations=1e9)
    schedule = Schedule(kinds, 60.0, rounds=None, operations=None, seed=1)
    steps = []
    while step := schedule.next(costs, 60.0 - 4.0 * len(steps)):
        steps.append(step)
    phases = [step.phase for step in steps]
    assert len(steps) == 15
    assert phases.count(Phase.WARM_UP) == 5
    assert phases.count(Phase.MAIN) >= 8
