"""Growth that slows, and growth that only seems to."""

import math
import random

import pytest

from leakcheck.detect.confirmation import confirm
from leakcheck.detect.counts import judge_count
from leakcheck.detect.slowing import slows
from leakcheck.model.finding import Shape, Verdict
from leakcheck.model.reading import Resource, Statistic
from leakcheck.model.series import Series

ENTRIES = Resource(name="registry.m:seen", unit="entries", statistic=Statistic.COUNT, per_process=True)
DOSES = (600, 200, 400, 200, 600, 400)


def poisson(chance, mean):
    """Draw by inversion; means here are below 700, where exp(-mean) is still a number."""
    drawn, product, least = 0, chance.random(), math.exp(-mean)
    while product > least:
        drawn, product = drawn + 1, product * chance.random()
    return drawn


def rounds(rate, count=30, *, seed=0, bunch=1):
    """Yield growth and work: bunches of pieces at a rate that may depend on the work done so far."""
    chance, done, found = random.Random(seed), 0, []
    for index in range(count):
        work = DOSES[index % len(DOSES)]
        found.append((bunch * poisson(chance, rate(done) * work / bunch), work))
        done += work
    return found


def halves(found):
    return found[: len(found) // 2], found[len(found) // 2 :]


@pytest.mark.parametrize("bunch", [1, 20])
def test_a_steady_leak_seldom_seems_to_slow(bunch):
    seeming = sum(slows(*halves(rounds(lambda _: 0.2, seed=seed, bunch=bunch))) for seed in range(600))
    assert seeming <= 12  # 6 in 1,000 by the normal distribution; the t distribution of 15 rounds allows 12 in 1,000


def test_a_leak_that_is_exact_never_seems_to_slow():
    assert not slows(*halves([(dose, dose) for dose in DOSES * 5]))


@pytest.mark.parametrize("factor", [1, 1000])
def test_a_rate_that_falls_by_half_is_seen_in_any_unit(factor):
    found = rounds(lambda done: 0.2 * math.exp(-done / 12000), seed=3)
    assert slows(*halves([(growth * factor, work / factor) for growth, work in found]))


def test_a_rate_that_rises_or_falls_by_less_than_a_tenth_is_not_slowing():
    assert not slows([(100, 100)] * 9, [(95, 100)] * 9)
    assert not slows([(100, 100)] * 9, [(150, 100)] * 9)


def test_too_few_rounds_and_no_work_say_nothing():
    assert not slows([(9, 10)] * 2, [(1, 10)] * 9)
    assert not slows([(9, 10)] * 9, [(0, 0)] * 9)
    assert not slows([(0, 10)] * 9, [(0, 10)] * 9)


def names_seen(count, *, population, seed):
    """Names drawn with a chance that falls as 1/k, counted once each: a bound that nothing states."""
    chance, seen, values, done = random.Random(seed), set(), [0.0], [0]
    for index in range(count):
        dose = DOSES[index % len(DOSES)]
        seen.update(int(population ** chance.random()) for _ in range(dose))
        values.append(float(len(seen)))
        done.append(dose)
    return values, done


def series(values, done):
    return Series(
        resource=ENTRIES,
        values=tuple(values),
        totals=tuple(values),
        operations=tuple((one,) for one in done),
        kinds=("call",),
        seconds=tuple(float(index) for index in range(len(values))),
    )


@pytest.mark.parametrize("population", [500, 3_000, 50_000])
def test_names_of_a_finite_number_are_never_called_a_leak(population):
    for seed in range(20):
        values, done = names_seen(40, population=population, seed=seed)
        judgement = judge_count(series(values, done), 12)
        assert judgement.verdict is not Verdict.LEAK, (seed, judgement.evidence)


def test_fresh_rounds_slower_than_the_first_ones_take_the_accusation_back():
    values, done = [0.0], [0]
    for index in range(18):
        done.append(DOSES[index % len(DOSES)])
        values.append(values[-1] + round(done[-1] * 0.2))
    accused = judge_count(series(values, done), 0)
    assert accused.verdict is Verdict.LEAK
    for rate, verdict in ((0.2, Verdict.LEAK), (0.13, Verdict.UNDECIDED)):
        fresh, played = [*values], [*done]
        for _ in range(6):
            played.append(500)
            fresh.append(fresh[-1] + round(500 * rate))
        confirmed = confirm(accused, series(fresh, played), 0, len(values))
        assert confirmed.verdict is verdict
        assert (confirmed.shape is Shape.FILLING) == (verdict is Verdict.UNDECIDED)
        assert ("Then it slowed" in confirmed.evidence) == (verdict is Verdict.UNDECIDED)
