"""The rules on scripted series: every shape by its name, and what must hold whatever the numbers are."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakcheck.detect.attribution import attribute
from leakcheck.detect.counts import FEWEST_FLOORS, judge_count
from leakcheck.detect.leftovers import judge_leftovers
from leakcheck.detect.levels import judge_level
from leakcheck.detect.overall import overall
from leakcheck.detect.stored import name_stored
from leakcheck.model.finding import Finding, Per, Shape, Verdict
from leakcheck.model.reading import Resource, Statistic
from leakcheck.model.series import Series

KINDS = ("call:a", "call:b", "reject")


def series(values, operations=None, *, name="fds.socket", unit="sockets", kinds=KINDS, seconds=None, **more):
    values = tuple(float(value) for value in values)
    if operations is None:
        draw = random.Random(7)
        operations = tuple(tuple(draw.choice((10, 30)) for _ in kinds) for _ in values)
    statistic = Statistic.LEVEL if unit == "bytes" else Statistic.COUNT
    return Series(
        resource=Resource(name=name, unit=unit, statistic=statistic, per_process=True),
        values=values,
        totals=values,
        operations=tuple(operations),
        kinds=kinds,
        seconds=tuple(seconds or (float(index) for index in range(len(values)))),
        **more,
    )


def doses(rounds, kinds=KINDS, quiet=()):
    draw = random.Random(3)
    return tuple(tuple(0 if index in quiet else draw.choice((10, 30)) for _ in kinds) for index in range(rounds))


def grown(played, rate):
    """Values of a count that grows by `rate(row)` in each round after the first."""
    values = [5.0]
    for row in played[1:]:
        values.append(values[-1] + rate(row))
    return values


def test_one_socket_per_call_of_one_tool_is_a_leak_of_that_tool_at_rate_one():
    played = doses(20)
    judgement = judge_count(series(grown(played, lambda row: row[1]), played), 0)
    assert (judgement.verdict, judgement.shape, judgement.operation) == (Verdict.LEAK, Shape.SLOPE, "call:b")
    assert judgement.rate.value == pytest.approx(1.0)
    assert judgement.rate.per is Per.OPERATION


def test_growth_with_every_operation_names_no_single_one():
    played = doses(20)
    judgement = judge_count(series(grown(played, sum), played), 0)
    assert judgement.verdict is Verdict.LEAK
    assert judgement.operation is None
    assert judgement.rate.value == pytest.approx(1.0, rel=0.01)
    assert {suspect.holder for suspect in judgement.suspects} == set(KINDS)


def test_growth_in_quiet_rounds_too_is_driven_by_time():
    played = doses(24, quiet=(7, 14, 21))
    values = [3.0 + 2 * index for index in range(24)]
    judgement = judge_count(series(values, played), 0)
    assert (judgement.verdict, judgement.shape) == (Verdict.LEAK, Shape.TIME_DRIVEN)
    assert (judgement.rate.per, judgement.rate.value) == (Per.SECOND, pytest.approx(2.0))


def test_a_leak_of_one_in_a_hundred_calls_is_found_in_thirty_rounds():
    played = doses(30)
    draw = random.Random(11)
    values = grown(played, lambda row: sum(draw.random() < 0.02 for _ in range(row[0])))
    judgement = judge_count(series(values, played), 0)
    assert judgement.verdict is Verdict.LEAK
    assert judgement.rate.low <= 0.02 <= judgement.rate.high or judgement.operation is None


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ([8] * 20, Shape.FLAT),
        ([8] * 3 + [9] * 17, Shape.STEP),
        ([5, 9, 12, 14, 14, 14] + [14] * 14, Shape.PLATEAU),
        ([5, 12, 5, 12, 6, 12, 5, 11, 5, 12, 6, 12, 5, 12, 6, 11, 5, 12, 5, 12], Shape.SAWTOOTH),
    ],
)
def test_look_alikes_are_clean_and_named(values, shape):
    judgement = judge_count(series(values), 0)
    assert (judgement.verdict, judgement.shape) == (Verdict.CLEAN, shape)
    assert judgement.detectable.value > 0


def test_growth_that_slows_is_undecided_and_called_filling():
    values = [100 * (1 - math.exp(-index / 6)) // 1 for index in range(24)]
    judgement = judge_count(series(values), 0)
    assert judgement.verdict is Verdict.UNDECIDED
    assert judgement.shape is Shape.FILLING


def test_too_few_floors_are_undecided_and_say_how_many_are_needed():
    judgement = judge_count(series([1, 2, 3, 4, 5, 6]), 0)
    assert judgement.verdict is Verdict.UNDECIDED
    assert f"at least {FEWEST_FLOORS}" in judgement.evidence
    assert judge_level(series([1.0] * 9, unit="bytes"), 0).verdict is Verdict.UNDECIDED


def test_no_slope_is_drawn_across_a_break():
    played = doses(20)
    values = [5.0] * 10 + [5.0] * 10
    broken = series(values, played, breaks=(10,))
    assert judge_count(broken, 0).verdict is Verdict.CLEAN
    jump = [5.0] * 10 + [500.0] * 10
    attribution = attribute(series(jump, played, breaks=(10,)), 0)
    assert attribution.owner is None


def test_memory_that_grows_by_sixteen_kibibytes_a_call_is_a_leak_with_that_rate():
    played = doses(45)
    draw = random.Random(5)
    values = [v + draw.gauss(0, 50_000) for v in grown(played, lambda row: 16384 * row[0])]
    judgement = judge_level(series([20e6 + v for v in values], played, name="memory.anon", unit="bytes"), 15)
    assert judgement.verdict is Verdict.LEAK
    assert judgement.rate.value == pytest.approx(16384, rel=0.1)
    assert judgement.operation == "call:a"


def test_memory_that_steps_once_or_levels_off_is_no_leak():
    step = [20e6] * 25 + [40e6] * 20
    filling = [20e6 + 30e6 * (1 - math.exp(-index / 5)) for index in range(45)]
    for values in (step, filling):
        judgement = judge_level(series(values, name="memory.anon", unit="bytes"), 15)
        assert judgement.verdict is not Verdict.LEAK


def test_a_high_reading_under_load_that_comes_back_is_a_peak():
    values = [20e6 + (index % 3) * 1000 for index in range(45)]
    judgement = judge_level(series(values, name="memory.anon", unit="bytes", peaks=tuple([90e6] * 45)), 15)
    assert (judgement.verdict, judgement.shape) == (Verdict.CLEAN, Shape.PEAK)


def test_what_a_round_stores_and_its_undoing_gives_back_is_stored_data_at_its_rate():
    played = doses(20)
    values = [7.0] * 20
    before = tuple(7.0 + row[2] for row in played)
    whole = series(values, played, before_undo=before)
    judgement = name_stored(judge_count(whole, 4), whole, 4)
    assert (judgement.verdict, judgement.shape, judgement.operation) == (Verdict.CLEAN, Shape.STORED, "reject")
    assert judgement.rate.value == pytest.approx(1.0)


def test_every_copy_that_leaves_a_process_is_a_leak_and_none_is_clean_down_to_a_rate():
    leak = judge_leftovers([1, 1, 1], ["server"] * 3, "processes", "abandon")
    assert (leak.verdict, leak.rate.value, leak.operation) == (Verdict.LEAK, 1.0, "abandon")
    clean = judge_leftovers([0] * 10, [], "processes", "session")
    assert clean.verdict is Verdict.CLEAN
    assert clean.detectable.value == pytest.approx(1 - 0.05**0.1)
    assert judge_leftovers([0, 0, 0, 1], ["x"], "processes", "session").verdict is Verdict.UNDECIDED
    assert judge_leftovers([], [], "processes", "session").verdict is Verdict.NOT_JUDGED


def finding(resource, verdict):
    return Finding(
        resource=resource,
        title=resource,
        unit="x",
        verdict=verdict,
        shape=None,
        operation=None,
        rate=None,
        detectable=None,
        forecast=None,
        evidence="",
        suspects=(),
        fingerprint="",
    )


def test_the_overall_verdict_follows_the_rule():
    clean, leak = finding("a", Verdict.CLEAN), finding("b", Verdict.LEAK)
    undecided, unread = finding("c", Verdict.UNDECIDED), finding("d", Verdict.NOT_JUDGED)
    assert overall([clean, leak, undecided], frozenset({"a"})) is Verdict.LEAK
    assert overall([clean, undecided], frozenset({"a", "c"})) is Verdict.UNDECIDED
    assert overall([clean, unread], frozenset({"a"})) is Verdict.CLEAN
    assert overall([clean, unread], frozenset({"a", "d"})) is Verdict.UNDECIDED
    assert overall([unread], frozenset()) is Verdict.NOT_JUDGED


floors = st.lists(st.integers(0, 1000), min_size=FEWEST_FLOORS, max_size=40)


@given(floors, st.integers(-500, 500))
@settings(max_examples=60, deadline=None)
def test_shifting_a_count_changes_no_verdict(values, shift):
    one, other = judge_count(series(values), 0), judge_count(series([v + shift for v in values]), 0)
    assert (one.verdict, one.shape) == (other.verdict, other.shape)


@given(st.integers(0, 10**9), st.integers(FEWEST_FLOORS, 60))
@settings(max_examples=40, deadline=None)
def test_a_constant_is_never_a_leak(value, rounds):
    assert judge_count(series([value] * rounds), 0).verdict is Verdict.CLEAN
    if rounds >= 16:
        assert judge_level(series([float(value)] * rounds, unit="bytes"), 0).verdict is not Verdict.LEAK


@given(st.lists(st.integers(0, 3), min_size=FEWEST_FLOORS, max_size=60), st.randoms(use_true_random=False))
@settings(max_examples=200, deadline=None)
def test_small_noise_without_trend_is_never_called_a_leak(values, draw):
    draw.shuffle(values)
    judgement = judge_count(series([v + 10 for v in values]), 0)
    if judgement.verdict is Verdict.LEAK:  # hypothesis may find a rising order: then the floors really rose throughout
        third = len(values) // 3
        assert min(values[-third:]) > max(values[:third])


@pytest.mark.parametrize("factor", [2, 5])
def test_doubling_the_operations_halves_the_rate(factor):
    played = doses(20)
    values = grown(played, lambda row: row[0])
    more = tuple(tuple(factor * count for count in row) for row in played)
    one, other = judge_count(series(values, played), 0), judge_count(series(values, more), 0)
    assert other.rate.value == pytest.approx(one.rate.value / factor)


def test_independent_noise_is_called_a_leak_of_memory_in_fewer_than_two_of_a_hundred_runs():
    alarms = 0
    for seed in range(100):
        draw = random.Random(seed)
        values = [30e6 + draw.gauss(0, 2e6) for _ in range(45)]
        alarms += judge_level(series(values, name="memory.anon", unit="bytes"), 15).verdict is Verdict.LEAK
    assert alarms < 2


def test_a_count_that_only_wanders_is_called_a_leak_in_fewer_than_one_of_a_hundred_runs():
    alarms = 0
    for seed in range(300):
        draw, value, values = random.Random(seed), 50, []
        for _ in range(30):
            value += draw.choice((-1, 1)) if draw.random() < 0.5 else 0
            values.append(value)
        alarms += judge_count(series(values), 0).verdict is Verdict.LEAK
    assert alarms < 3


def test_seven_rises_and_no_fall_are_needed_to_accuse_a_count():
    played = doses(20)
    few = [5.0] * 20
    for place in (3, 6, 9, 12, 15, 18):
        few = [value + (index >= place) for index, value in enumerate(few)]
    undecided = judge_count(series(few, played), 0)
    assert undecided.verdict is Verdict.UNDECIDED
    assert "wanders" in undecided.evidence
    one_more = [value + (index >= 10) for index, value in enumerate(few)]
    assert judge_count(series(one_more, played), 0).verdict is Verdict.LEAK
