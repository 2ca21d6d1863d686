"""Memory by its kind: what Python's blocks, malloc's bytes, Node's heap and the kernel's pages are blamed for."""

import random
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakcheck.detect.levels import FEWEST_FLOORS, judge_level
from leakcheck.model.finding import Per, Shape, Verdict
from leakcheck.model.reading import Resource, Statistic
from leakcheck.model.series import Series

KINDS = ("call:a", "call:b", "reject")
OF_THIRTY = 0.01 / 30
pytestmark = pytest.mark.share(3)
# By kind of level: its unit, a usual level, its usual noise, the least growth, and what clean may leave open.
USUAL = {
    "heap.blocks": ("blocks", 250_000, 100, 200.0, 64.0),
    "heap.malloc": ("bytes", 30e6, 20e3, 65_536.0, 16_384.0),
    "node.heap": ("bytes", 20e6, 60e3, 1 << 20, 32_768.0),
    "node.external": ("bytes", 2e6, 20e3, 1 << 20, 32_768.0),
    "memory.anon": ("bytes", 35e6, 100e3, 4 << 20, 65_536.0),
}
FEW = ("heap.blocks", "heap.malloc")
MANY = ("node.heap", "node.external", "memory.anon")


def doses(rounds, dose=200, seed=3):
    """Two hundred operations a round, more or less, of three kinds."""
    draw = random.Random(seed)
    return tuple(tuple(draw.choice((dose // 6, dose // 2)) for _ in KINDS) for _ in range(rounds))


def series(name, values, played=None, **more):
    values = tuple(float(value) for value in values)
    unit = USUAL[name][0] if name in USUAL else "bytes"
    return Series(
        resource=Resource(name=name, unit=unit, statistic=Statistic.LEVEL, per_process=True),
        values=values,
        totals=values,
        operations=doses(len(values)) if played is None else played,
        kinds=KINDS,
        seconds=tuple(float(index) for index in range(len(values))),
        **more,
    )


def white(name, seed, rounds):
    draw, (_, level, noise, *_) = random.Random(seed), USUAL[name]
    return [round(level + draw.gauss(0, noise)) for _ in range(rounds)]


def walk(name, seed, rounds):
    """A level that wanders, by as much as a kind must grow to be accused over four rounds."""
    draw, (_, level, _, least, _) = random.Random(seed), USUAL[name]
    return [level + round(away) for away in accumulate(draw.gauss(0, least / 2) for _ in range(rounds))]


def leaking(name, each, seed, played):
    """The usual level and noise, and `each` more with every operation."""
    done = accumulate(map(sum, played))
    return [value + each * count for value, count in zip(white(name, seed, len(played)), done, strict=True)]


# How often noise is accused. Of 120 runs at one in a hundred, 1.2 are expected, and more than 5 come up in 2 of 1,000
# such tests; at one in three thousand, 0.04 are expected, and more than 1 in one of 1,000.


@pytest.mark.parametrize(("name", "rounds"), [*((name, 18) for name in FEW), *((name, 24) for name in MANY)])
def test_white_noise_is_never_accused(name, rounds):
    verdicts = [judge_level(series(name, white(name, seed, rounds)), 0, 0.01).verdict for seed in range(200)]
    assert Verdict.LEAK not in verdicts


@pytest.mark.parametrize("name", ["heap.blocks", "heap.malloc", "node.heap", "memory.anon"])
def test_a_level_that_wanders_is_accused_no_more_often_than_stated(name):
    runs = [series(name, walk(name, seed, 32)) for seed in range(120)]
    accused = [run for run in runs if judge_level(run, 0, 0.01).verdict is Verdict.LEAK]
    strictly = [run for run in accused if judge_level(run, 0, OF_THIRTY).verdict is Verdict.LEAK]
    assert len(accused) <= 5
    assert len(strictly) <= 1


@pytest.mark.parametrize("name", USUAL)
def test_a_smaller_chance_of_error_never_accuses_more(name):
    for seed in range(12):
        run = series(name, leaking(name, USUAL[name][2] / 900, seed, doses(30)))
        lax, strict = (judge_level(run, 0, chance).verdict for chance in (0.05, OF_THIRTY))
        assert strict is not Verdict.LEAK or lax is Verdict.LEAK


# Leaks in sixty rounds of 200 operations, a third of them left out, with thirty resources judged.


@pytest.mark.parametrize(
    ("name", "each"), [("heap.blocks", 1), ("heap.malloc", 64), ("node.heap", 256), ("memory.anon", 1024)]
)
def test_a_small_leak_is_found_in_sixty_rounds_with_its_rate(name, each):
    played = doses(60)
    for seed in range(12):
        judged = judge_level(series(name, leaking(name, each, seed, played), played), 20, OF_THIRTY)
        assert judged.verdict is Verdict.LEAK
        assert judged.rate.per is Per.OPERATION
        assert judged.operation or judged.rate.value == pytest.approx(each, rel=0.15)


@pytest.mark.parametrize(("spare", "verdict"), [(0.0, Verdict.LEAK), (230_000.0, Verdict.CLEAN)])
def test_what_may_be_kept_for_reuse_is_no_leak_and_what_is_more_is_one(spare, verdict):
    played = doses(60)
    few, much = (
        [3e7 + each * done + 500 * (index % 3) for index, done in enumerate(accumulate(map(sum, played)))]
        for each in (20, 64)
    )  # 130 KiB and 420 KiB in the 40 judged rounds
    for values, expected in ((few, verdict), (much, Verdict.LEAK)):
        run = series("heap.malloc", values, played)
        judged = judge_level(replace(run, resource=replace(run.resource, spare=spare)), 20, OF_THIRTY)
        assert judged.verdict is expected, judged.evidence


def test_the_interval_of_a_rate_holds_the_true_one_as_often_as_stated():
    played, held = doses(60), []
    for seed in range(60):
        judged = judge_level(series("heap.malloc", leaking("heap.malloc", 64, seed, played), played), 20, OF_THIRTY)
        if judged.verdict is Verdict.LEAK:
            held.append(judged.rate.low <= 64 <= judged.rate.high)
    assert len(held) >= 40
    assert sum(held) >= 0.85 * len(held)  # fewer in one of 500 such tests


def test_no_single_operation_is_named_where_all_leak_alike():
    played, named = doses(60), []
    for seed in range(24):
        judged = judge_level(series("heap.blocks", leaking("heap.blocks", 1, seed, played), played), 20, OF_THIRTY)
        named += [judged.operation] if judged.operation else []
    assert len(named) <= 4  # one in twenty: 1.2 expected, more than 4 in one of 100 such tests


@pytest.mark.parametrize("name", USUAL)
@pytest.mark.parametrize(("share", "most"), [(0.3, 0), (1.0, 4)])
def test_a_leak_is_seldom_called_clean_above_the_stated_rate(name, share, most):
    played = doses(50)
    each = share * USUAL[name][3] / (34 * 200)
    judged = [judge_level(series(name, leaking(name, each, seed, played), played), 16, OF_THIRTY) for seed in range(20)]
    passed = [one for one in judged if one.verdict is Verdict.CLEAN and one.detectable.value < each]
    assert len(passed) <= most  # of 20 at one in twenty: more than 4 in 3 of 1,000 such tests


@pytest.mark.parametrize("name", FEW)
def test_counted_inside_sixteen_floors_are_enough_to_accuse(name):
    played = doses(FEWEST_FLOORS)
    values = leaking(name, USUAL[name][3] / 100, 1, played)
    judged = judge_level(series(name, values, played), 0, OF_THIRTY)
    assert judged.verdict is Verdict.LEAK


@pytest.mark.parametrize("name", MANY)
def test_of_other_levels_twenty_four_floors_are_needed_unless_it_doubled(name):
    level = USUAL[name][1]
    for rounds, verdict in ((23, Verdict.UNDECIDED), (24, Verdict.LEAK)):
        played = doses(rounds)
        values = leaking(name, 0.7 * level / (rounds * 200), 1, played)
        assert values[-1] < 2 * values[0]
        assert judge_level(series(name, values, played), 0, OF_THIRTY).verdict is verdict
    played = doses(FEWEST_FLOORS)
    doubled = leaking(name, 3 * level / (FEWEST_FLOORS * 200), 1, played)
    assert judge_level(series(name, doubled, played), 0, OF_THIRTY).verdict is Verdict.LEAK


# What is left to the allocator, and what clean may leave open


@pytest.mark.parametrize("name", USUAL)
def test_a_steady_rise_is_a_leak_from_the_least_growth_of_its_kind_on(name):
    level, least = USUAL[name][1], USUAL[name][3]
    share = {"memory.anon": 0.1, "node.heap": 0.03, "node.external": 0.03, "heap.malloc": 0.002}.get(name, 0.0)
    played, rounds = tuple((67, 67, 67) for _ in range(40)), 40
    for part, verdicts in ((0.9, {Verdict.CLEAN, Verdict.UNDECIDED}), (1.25, {Verdict.LEAK})):
        rise = part * max(least, share * level)
        run = series(name, [level + rise * index / (rounds - 1) for index in range(rounds)], played)
        judged = judge_level(run, 0, OF_THIRTY)
        assert judged.verdict in verdicts
        assert judged.verdict is not Verdict.CLEAN or judged.detectable.value >= rise / (201 * (rounds - 1))


@pytest.mark.parametrize("name", USUAL)
def test_noise_that_could_hide_too_much_is_undecided_and_asks_for_more_rounds(name):
    level, worst = USUAL[name][1], USUAL[name][4]
    draw, played = random.Random(5), tuple((1, 1, 1) for _ in range(40))
    values = [level + draw.gauss(0, 60 * worst) for _ in range(40)]
    judged = judge_level(series(name, values, played), 0, OF_THIRTY)
    assert judged.verdict is Verdict.UNDECIDED
    assert "cannot be ruled out" in judged.evidence
    assert judged.times_longer >= 1.3


@pytest.mark.parametrize("name", USUAL)
def test_one_jump_that_makes_up_most_of_a_rise_is_no_leak(name):
    level, least = USUAL[name][1], USUAL[name][3]
    values = [level + least * 0.02 * index + (3 * least if index >= 20 else 0) for index in range(40)]
    assert judge_level(series(name, values), 0, OF_THIRTY).verdict is not Verdict.LEAK


@pytest.mark.parametrize("name", USUAL)
def test_what_fills_and_levels_off_is_no_leak(name):
    level, least = USUAL[name][1], USUAL[name][3]
    values = [level + 3 * least * (1 - 0.8**index) for index in range(40)]
    assert judge_level(series(name, values), 0, OF_THIRTY).verdict is not Verdict.LEAK


def test_a_peak_under_load_that_was_given_back_is_told():
    values = [35e6] * 24
    told = judge_level(series("memory.anon", values, peaks=(60e6,) * 24), 0, OF_THIRTY)
    assert (told.verdict, told.shape) == (Verdict.CLEAN, Shape.PEAK)
    flat = judge_level(series("memory.anon", values, peaks=(36e6,) * 24), 0, OF_THIRTY)
    assert (flat.verdict, flat.shape) == (Verdict.CLEAN, Shape.FLAT)


# What holds whatever the numbers are


@given(st.sampled_from(sorted(USUAL)), st.integers(0, 10**9), st.integers(FEWEST_FLOORS, 40))
@settings(max_examples=40, deadline=None)
def test_a_constant_level_is_never_a_leak(name, value, rounds):
    assert judge_level(series(name, [value] * rounds), 0, OF_THIRTY).verdict is not Verdict.LEAK


@given(st.sampled_from(sorted(USUAL)), st.integers(0, FEWEST_FLOORS - 1))
@settings(max_examples=40, deadline=None)
def test_too_few_floors_are_undecided_and_say_how_many_are_needed(name, rounds):
    judged = judge_level(series(name, [10**6 * index for index in range(rounds)]), 0, OF_THIRTY)
    assert judged.verdict is Verdict.UNDECIDED
    assert f"Needs at least {FEWEST_FLOORS} floors after warm-up, got {rounds}." in judged.evidence


@given(st.integers(0, 10**6), st.integers(-200_000, 10**6))
@settings(max_examples=25, deadline=None)
def test_shifting_blocks_of_which_no_share_is_left_to_the_level_changes_nothing(seed, shift):
    played = doses(24)
    values = leaking("heap.blocks", 0.2, seed, played)
    one, other = (
        judge_level(series("heap.blocks", [value + by for value in values], played), 0, OF_THIRTY) for by in (0, shift)
    )
    assert (one.verdict, one.shape) == (other.verdict, other.shape)
    assert one.detectable.value == pytest.approx(other.detectable.value, rel=1e-6)


@pytest.mark.parametrize("name", USUAL)
@pytest.mark.parametrize("factor", [2, 5])
def test_doubling_the_operations_halves_the_rate_and_what_is_left_open(name, factor):
    played = doses(30)
    more = tuple(tuple(factor * count for count in row) for row in played)
    values = leaking(name, max(USUAL[name][3], 0.15 * USUAL[name][1]) / 2000, 4, played)
    one, other = (judge_level(series(name, values, rows), 0, OF_THIRTY) for rows in (played, more))
    assert one.verdict is other.verdict is Verdict.LEAK
    assert other.rate.value == pytest.approx(one.rate.value / factor)
    assert other.detectable.value == pytest.approx(one.detectable.value / factor)


def test_no_operations_after_the_warm_up_leave_it_undecided():
    played = ((100, 100, 100), *((0, 0, 0) for _ in range(29)))
    assert judge_level(series("heap.blocks", range(0, 3000, 100), played), 0).verdict is Verdict.UNDECIDED


def test_without_any_operations_growth_is_judged_by_time():
    played = tuple((0, 0, 0) for _ in range(30))
    judged = judge_level(series("heap.blocks", range(0, 3000, 100), played), 0)
    assert (judged.verdict, judged.rate.per, judged.rate.value) == (Verdict.LEAK, Per.SECOND, pytest.approx(100.0))
