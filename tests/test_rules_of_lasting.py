"""The rules of what lasts: idle, bounded, explained, pages, weak; each from both sides, on scripted series."""

import dataclasses
import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakcheck.detect import Judgement
from leakcheck.detect.bounded import heed_bound
from leakcheck.detect.counts import judge_count
from leakcheck.detect.explained import explain
from leakcheck.detect.idle import weigh_idle
from leakcheck.detect.levels import judge_level
from leakcheck.detect.pages import weigh_pages
from leakcheck.detect.weak import withdraw
from leakcheck.model.finding import Detectable, Per, Rate, Shape, Suspect, Verdict
from leakcheck.model.reading import Resource, Statistic
from leakcheck.model.series import Series

BY_CHANCE = 0.01 / 30
NOT_LEAKS = [verdict for verdict in Verdict if verdict is not Verdict.LEAK]
NOT_TO_EXPLAIN = [Verdict.CLEAN, Verdict.NOT_JUDGED]


def series(values, *, name="fds.socket", unit="sockets", bound=None, bound_by="", breaks=()):
    values = tuple(float(value) for value in values)
    statistic = Statistic.LEVEL if unit in {"bytes", "blocks"} else Statistic.COUNT
    return Series(
        resource=Resource(name=name, unit=unit, statistic=statistic, per_process=True, bound=bound, bound_by=bound_by),
        values=values,
        totals=values,
        operations=tuple((200,) for _ in values),
        kinds=("call:a",),
        seconds=tuple(float(index) for index in range(len(values))),
        bound=bound,
        breaks=breaks,
    )


def rate(value=1.0, low=None, high=None, unit="sockets"):
    return Rate(
        value=value,
        low=value if low is None else low,
        high=value if high is None else high,
        unit=unit,
        per=Per.OPERATION,
    )


def judgement(verdict=Verdict.LEAK, **more):
    known = {
        "shape": Shape.SLOPE,
        "evidence": "Grew.",
        "operation": "call:a",
        "rate": rate(),
        "detectable": Detectable(value=0.1, unit="sockets", per=Per.OPERATION),
        "suspects": (Suspect(holder="peer", proof="+9"),),
    }
    return Judgement(verdict=verdict, **{**known, **more})


def grown_then(quiet, grown=100, rounds=20, **more):
    """A count that grew by `grown` over `rounds` floors, and then had the floors `quiet`; how many were played."""
    return series([*(10 + grown * index / (rounds - 1) for index in range(rounds)), *quiet], **more), rounds


# idle: what comes back without load


@pytest.mark.parametrize("back", [0, 1, 2, 2.9])
def test_a_leak_of_which_next_to_nothing_comes_back_stands(back):
    whole, begin = grown_then([110, 110 - back, 110 - back])
    weighed = weigh_idle(judgement(), whole, 0, begin)
    assert (weighed.verdict, weighed.shape, weighed.rate) == (Verdict.LEAK, Shape.SLOPE, rate())
    assert weighed.evidence == "Grew. Nothing of it came back within 3 s without load."


@pytest.mark.parametrize("back", [90, 95, 100, 110])
def test_what_comes_back_nearly_whole_is_clean_and_has_no_rate(back):
    whole, begin = grown_then([60, 30, 110 - back])
    weighed = weigh_idle(judgement(), whole, 0, begin)
    assert (weighed.verdict, weighed.shape, weighed.rate) == (Verdict.CLEAN, Shape.SAWTOOTH, None)
    assert weighed.suspects == ()
    assert f"{back} sockets of 100 sockets came back within 3 s without load" in weighed.evidence


def test_one_piece_less_than_nearly_all_is_no_longer_clean():
    whole, begin = grown_then([60, 30, 21])
    assert weigh_idle(judgement(), whole, 0, begin).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize("back", [3, 20, 50])
def test_a_part_that_came_back_and_then_no_more_leaves_the_leak(back):
    whole, begin = grown_then([110 - back] * 6)
    weighed = weigh_idle(judgement(), whole, 0, begin)
    assert weighed.verdict is Verdict.LEAK
    assert weighed.evidence.endswith(
        f"{back} sockets of 100 sockets came back within 6 s without load, and then no more."
    )


def test_a_part_that_still_falls_is_undecided():
    whole, begin = grown_then([105, 100, 95, 90, 85, 80])
    weighed = weigh_idle(judgement(), whole, 0, begin)
    assert (weighed.verdict, weighed.shape) == (Verdict.UNDECIDED, Shape.SAWTOOTH)
    assert "a longer budget tells" in weighed.evidence


def test_more_than_half_that_came_back_is_undecided_even_where_no_more_comes():
    whole, begin = grown_then([59] * 6)
    assert weigh_idle(judgement(), whole, 0, begin).verdict is Verdict.UNDECIDED


def test_a_fall_in_the_later_half_of_the_quiet_counts_from_a_fiftieth_of_the_growth_on():
    over, begin = grown_then([80, 80, 80, 80, 79, 78])
    still, _ = grown_then([80, 80, 80, 80, 79, 77])
    assert weigh_idle(judgement(), over, 0, begin).verdict is Verdict.LEAK
    assert weigh_idle(judgement(), still, 0, begin).verdict is Verdict.UNDECIDED


def test_of_a_small_count_three_pieces_must_come_back_to_tell_anything():
    two, begin = grown_then([13, 12], grown=4)
    three, _ = grown_then([13, 11], grown=4)
    assert weigh_idle(judgement(), two, 0, begin).verdict is Verdict.LEAK
    assert weigh_idle(judgement(), three, 0, begin).verdict is Verdict.UNDECIDED


def test_bytes_have_no_least_number_of_pieces():
    whole, begin = grown_then([8.0], grown=2, name="memory.anon", unit="bytes")
    assert weigh_idle(judgement(rate=rate(unit="bytes")), whole, 0, begin).verdict is Verdict.CLEAN


def test_a_quiet_in_which_it_grew_on_takes_nothing_back():
    whole, begin = grown_then([120, 130, 140])
    assert weigh_idle(judgement(), whole, 0, begin).verdict is Verdict.LEAK


def test_growth_is_counted_from_the_first_judged_floor():
    values = [*[10] * 10, *range(10, 20), 12, 11, 11]
    assert weigh_idle(judgement(), series(values), 10, 20).verdict is Verdict.UNDECIDED  # 8 of 9
    assert weigh_idle(judgement(), series([*values[:-1], 10]), 10, 20).verdict is Verdict.CLEAN


def test_without_a_quiet_phase_before_it_or_for_growth_by_time_nothing_changes():
    whole, begin = grown_then([])
    leak = judgement()
    assert weigh_idle(leak, whole, 0, begin) is leak
    assert weigh_idle(leak, whole, 0, 0) is leak
    timed, back = judgement(shape=Shape.TIME_DRIVEN), grown_then([10, 10])[0]
    assert weigh_idle(timed, back, 0, begin) is timed


@pytest.mark.parametrize("verdict", NOT_LEAKS)
def test_a_quiet_phase_says_nothing_of_what_is_no_leak(verdict):
    whole, begin = grown_then([10, 10, 10])
    other = judgement(verdict)
    assert weigh_idle(other, whole, 0, begin) is other


@given(
    st.lists(st.integers(0, 200), min_size=1, max_size=12),
    st.integers(1, 200),
    st.integers(-10_000, 10_000),
)
@settings(max_examples=150, deadline=None)
def test_shifting_a_series_changes_nothing_of_what_its_quiet_says(quiet, growth, shift):
    whole, begin = grown_then(quiet, grown=growth, rounds=growth + 1)
    moved = series([value + shift for value in whole.values])
    assert weigh_idle(judgement(), whole, 0, begin) == weigh_idle(judgement(), moved, 0, begin)


@given(st.lists(st.integers(0, 200), min_size=2, max_size=12), st.integers(1, 50))
@settings(max_examples=150, deadline=None)
def test_what_falls_further_in_the_end_is_never_accused_where_less_was_not(quiet, further):
    rank = {Verdict.LEAK: 2, Verdict.UNDECIDED: 1, Verdict.CLEAN: 0}
    whole, begin = grown_then(quiet)
    deeper, _ = grown_then([*quiet[:-1], quiet[-1] - further])
    less, more = (weigh_idle(judgement(), one, 0, begin).verdict for one in (whole, deeper))
    assert rank[more] <= rank[less]


# bounded: what fills up to a bound


def test_a_growing_container_below_its_bound_is_clean_and_says_when_it_is_full():
    filling = series(range(100, 200), name="registry.cache", unit="entries", bound=1000.0, bound_by="maxsize")
    heeded = heed_bound(judgement(rate=rate(0.5)), filling)
    assert (heeded.verdict, heeded.shape, heeded.rate, heeded.suspects) == (Verdict.CLEAN, Shape.FILLING, None, ())
    expected = "Filling up to its bound: 199 of 1,000 entries (maxsize), full after 1,602 more call:a."
    assert heeded.evidence == expected


def test_growth_by_time_and_by_all_operations_says_what_it_takes_until_it_is_full():
    filling = series(range(100, 200), name="registry.cache", unit="entries", bound=299.0, bound_by="maxsize")
    every = heed_bound(judgement(rate=rate(1.0), operation=None), filling)
    assert every.evidence.endswith("full after 100 more operations.")
    timed = Rate(value=2.0, low=1.0, high=3.0, unit="entries", per=Per.SECOND)
    assert heed_bound(judgement(rate=timed, operation=None), filling).evidence.endswith("full after 50 more seconds.")


@pytest.mark.parametrize("known", [None, rate(0.0), rate(-1.0)])
def test_where_no_rate_above_zero_is_known_it_does_not_say_when_it_is_full(known):
    filling = series(range(100, 200), name="registry.cache", unit="entries", bound=1000.0, bound_by="maxsize")
    evidence = heed_bound(judgement(Verdict.UNDECIDED, rate=known), filling).evidence
    assert evidence == "Filling up to its bound: 199 of 1,000 entries (maxsize)."


@pytest.mark.parametrize(("held", "shape"), [(979, Shape.FILLING), (980, Shape.PLATEAU), (1000, Shape.PLATEAU)])
def test_a_container_is_full_from_98_of_100_on(held, shape):
    full = series([900, held], name="registry.cache", unit="entries", bound=1000.0, bound_by="maxlen")
    heeded = heed_bound(judgement(), full)
    assert (heeded.verdict, heeded.shape) == (Verdict.CLEAN, shape)
    assert heeded.evidence.startswith("Full, and bounded" if shape is Shape.PLATEAU else "Filling up")


@pytest.mark.parametrize("verdict", [Verdict.LEAK, Verdict.UNDECIDED])
def test_a_bound_that_was_passed_by_more_than_a_twentieth_takes_nothing_back(verdict):
    within = series([900, 1050], name="registry.cache", unit="entries", bound=1000.0, bound_by="maxlen")
    passed = series([900, 1051], name="registry.cache", unit="entries", bound=1000.0, bound_by="maxlen")
    assert heed_bound(judgement(verdict), within).verdict is Verdict.CLEAN
    stands = heed_bound(judgement(verdict), passed)
    assert (stands.verdict, stands.shape, stands.rate) == (verdict, Shape.SLOPE, rate())
    assert stands.evidence == "Grew. Its bound (maxlen) is passed: 1,051 of 1,000."


def test_a_bound_at_a_value_that_could_not_be_read_makes_a_leak_undecided():
    kept = series(range(40), name="registry.cache", unit="entries", bound_by="cache.py:12")
    heeded = heed_bound(judgement(), kept)
    assert (heeded.verdict, heeded.shape) == (Verdict.UNDECIDED, Shape.FILLING)
    assert "Its code bounds it (cache.py:12), at a value that could not be read." in heeded.evidence
    undecided = judgement(Verdict.UNDECIDED)
    assert heed_bound(undecided, kept) is undecided


def test_what_all_processes_hold_together_counts_against_the_bound():
    of_two = series([100, 180], name="registry.cache", unit="entries", bound=200.0, bound_by="maxlen")
    more = dataclasses.replace(of_two, totals=(100.0, 211.0))
    assert heed_bound(judgement(), of_two).verdict is Verdict.CLEAN
    assert heed_bound(judgement(), more).verdict is Verdict.LEAK


def test_what_nothing_bounds_is_left_as_it_is():
    leak = judgement()
    assert heed_bound(leak, series(range(40))) is leak


@pytest.mark.parametrize("verdict", NOT_TO_EXPLAIN)
def test_a_bound_says_nothing_of_what_is_neither_leak_nor_undecided(verdict):
    other = judgement(verdict)
    assert heed_bound(other, series(range(40), bound=10.0, bound_by="maxlen")) is other


@given(
    st.integers(0, 10**6),
    st.integers(7, 60),
    st.one_of(st.none(), st.floats(0.0, 2e6, allow_nan=False)),
    st.sampled_from(["", "maxlen"]),
    st.integers(1, 12),
)
@settings(max_examples=100, deadline=None)
def test_a_constant_is_never_a_leak_whatever_its_bound_or_its_quiet(value, rounds, bound, bound_by, quiet):
    whole = series([value] * (rounds + quiet), bound=bound, bound_by=bound_by)
    judged = judge_count(series([value] * rounds), 0, BY_CHANCE)
    last = heed_bound(weigh_idle(judged, whole, 0, rounds), whole)
    assert last.verdict is Verdict.CLEAN


# explained: memory that is held by a container that fills


def filler(values, bound=5000.0, name="registry.cache"):
    return series(values, name=name, unit="entries", bound=bound, bound_by="maxsize")


def entries(rounds, seed=1):
    """A container that gains five to fifteen entries a round."""
    draw, values = random.Random(seed), [0]
    for _ in range(rounds - 1):
        values.append(values[-1] + draw.randint(5, 15))
    return values


def malloc(values):
    return series(values, name="heap.malloc", unit="bytes")


def memory(held, each, seed, noise=3000.0, beside=0.0):
    draw = random.Random(seed)
    return malloc([30e6 + each * count + beside * index + draw.gauss(0, noise) for index, count in enumerate(held)])


@pytest.mark.parametrize("seed", range(8))
def test_memory_that_a_filling_container_holds_is_clean_and_says_how_much_is_to_come(seed):
    held = entries(40)
    level = memory(held, 2048.0, seed)
    leak = judge_level(level, 0, BY_CHANCE)
    assert leak.verdict is Verdict.LEAK
    explained = explain(leak, level, 0, [(filler(held), 0)], [], BY_CHANCE)
    assert (explained.verdict, explained.shape) == (Verdict.CLEAN, Shape.FILLING)
    assert (explained.rate, explained.operation, explained.suspects) == (None, None, ())
    assert "with cache, which fills up to its bound" in explained.evidence
    assert explained.detectable is not None


def test_what_is_to_come_is_what_the_free_places_will_take():
    held = entries(40)
    level = malloc([1e6 + 2048.0 * count for count in held])
    for free, words in ((100, ": 200 KiB more until then."), (0, ": 0 B more until then.")):
        fillers = [(filler(held, held[-1] + free), 0)]
        told = explain(judge_level(level, 0, BY_CHANCE), level, 0, fillers, [], BY_CHANCE)
        assert told.evidence.endswith(words)


@pytest.mark.parametrize("each_round", [1_000.0, 5_000.0, 10_000.0])
def test_a_leak_beside_a_container_that_fills_unsteadily_is_not_called_clean_below_its_rate(each_round):
    held = entries(40)
    level = malloc([30e6 + 2048.0 * count + each_round * index for index, count in enumerate(held)])
    leak = judge_level(level, 0, BY_CHANCE)
    assert leak.verdict is Verdict.LEAK
    told = explain(leak, level, 0, [(filler(held), 0)], [], BY_CHANCE)
    assert told.verdict is not Verdict.CLEAN or told.detectable.value >= each_round / 200


def test_a_container_that_explains_too_little_changes_nothing():
    held = entries(40)
    level = memory(held, 100.0, 1, beside=20_000.0)
    leak = judge_level(level, 0, BY_CHANCE)
    assert explain(leak, level, 0, [(filler(held), 0)], [], BY_CHANCE) is leak


@pytest.mark.parametrize(
    ("beside", "name", "verdict"),
    [
        (1_000.0, "heap.malloc", Verdict.CLEAN),  # the container accounts for 95 %
        (13_000.0, "heap.malloc", Verdict.UNDECIDED),  # for 61 %
        (13_000.0, "memory.anon", Verdict.CLEAN),
        (30_000.0, "memory.anon", Verdict.UNDECIDED),  # for 41 %
    ],
)
def test_of_pages_half_is_enough_for_the_allocator_adds_to_what_is_held(beside, name, verdict):
    held = [10 * (index // 2) for index in range(41)]
    values = [30e6 + 2048.0 * count + beside * ((index + 1) // 2) for index, count in enumerate(held)]
    level, undecided = series(values, name=name, unit="bytes"), judgement(Verdict.UNDECIDED, rate=None)
    assert explain(undecided, level, 0, [(filler(held), 0)], [], BY_CHANCE).verdict is verdict


def test_two_containers_that_fill_explain_what_neither_does_alone():
    one, other = entries(40, 1), entries(40, 2)
    draw = random.Random(4)
    values = [30e6 + 3000 * a + 3000 * b + draw.gauss(0, 2000) for a, b in zip(one, other, strict=True)]
    level = malloc(values)
    leak = judge_level(level, 0, BY_CHANCE)
    fillers = [(filler(one, name="registry.first"), 0), (filler(other, name="registry.second"), 0)]
    told = explain(leak, level, 0, fillers, [], BY_CHANCE)
    assert told.verdict is Verdict.CLEAN
    assert "with first, second, which" in told.evidence


def test_a_container_that_shrinks_while_memory_grows_explains_nothing():
    held = entries(40)
    level = memory(held, 2048.0, 1)
    leak = judge_level(level, 0, BY_CHANCE)
    assert explain(leak, level, 0, [(filler([1000 - count for count in held]), 0)], [], BY_CHANCE) is leak


def test_what_is_judged_is_where_all_containers_were_read():
    held = entries(40)
    late = [0.0] * 20 + [float(count - held[20]) for count in held[20:]]
    values = [30e6 + 20_000 * index for index in range(20)]
    values += [values[-1] + 2048.0 * (count - held[19]) for count in held[20:]]
    level = malloc(values)
    leak = judge_level(level, 0, BY_CHANCE)
    assert leak.verdict is Verdict.LEAK
    assert explain(leak, level, 0, [(filler(late), 0)], [], BY_CHANCE).verdict is Verdict.LEAK
    assert explain(leak, level, 0, [(filler(late), 20)], [], BY_CHANCE).verdict is Verdict.CLEAN
    too_late = explain(leak, level, 0, [(filler(late), 36)], [], BY_CHANCE)
    assert too_late is leak


def kept(values):
    return series(values, name="registry.kept", unit="entries")


@pytest.mark.parametrize("name", ["heap.malloc", "memory.anon"])
def test_what_a_leaking_container_may_hold_as_well_is_not_put_down_to_one_that_fills(name):
    held = entries(40)
    level = dataclasses.replace(
        memory(held, 2048.0, 1), resource=Resource(name=name, unit="bytes", statistic=Statistic.LEVEL, per_process=True)
    )
    leak = judge_level(level, 0, BY_CHANCE)
    assert explain(leak, level, 0, [(filler(held), 0)], [kept([3 * count for count in held])], BY_CHANCE) is leak
    leaking = kept(entries(40, seed=2))
    assert explain(leak, level, 0, [(filler(held), 0)], [leaking], BY_CHANCE).verdict is Verdict.CLEAN
    assert explain(leak, level, 0, [(leaking_like(held), 0)], [kept(held)], BY_CHANCE) is leak


def leaking_like(held):
    """A container of few entries, which gained one in some of the rounds in which the other gained most."""
    gained = [0]
    for before, now in itertools.pairwise(held):
        gained.append(gained[-1] + (now - before > 11))
    return filler(gained, bound=256.0)


@pytest.mark.parametrize("verdict", NOT_TO_EXPLAIN)
def test_no_container_explains_what_is_neither_leak_nor_undecided(verdict):
    held = entries(40)
    other = judgement(verdict)
    assert explain(other, memory(held, 2048.0, 1), 0, [(filler(held), 0)], [], BY_CHANCE) is other


def test_without_a_filling_container_a_leak_stays_as_it_is():
    leak = judgement()
    assert explain(leak, memory(entries(40), 2048.0, 1), 0, [], [], BY_CHANCE) is leak


@given(st.integers(-(10**6), 10**6))
@settings(max_examples=20, deadline=None)
def test_shifting_the_container_or_the_memory_changes_no_explanation(shift):
    held = entries(30)
    level = memory(held, 2048.0, 3)
    leak = judge_level(level, 0, BY_CHANCE)
    moved = filler([count + shift for count in held], bound=5000.0 + shift)
    one, other = (explain(leak, level, 0, [(used, 0)], [], BY_CHANCE) for used in (filler(held), moved))
    assert (one.verdict, one.shape) == (other.verdict, other.shape) == (Verdict.CLEAN, Shape.FILLING)
    assert one.evidence == other.evidence


# pages: resident memory never decides alone


HEAP = {
    verdict: judgement(verdict, rate=None, detectable=Detectable(value=1.0, unit="blocks", per=Per.OPERATION))
    for verdict in Verdict
}


def test_a_leak_of_pages_stands_where_the_heap_leaks_too():
    leak = judgement()
    assert weigh_pages(leak, [HEAP[Verdict.LEAK], HEAP[Verdict.CLEAN]]) is leak


@pytest.mark.parametrize(
    ("heap", "is_told"),
    [
        ((Verdict.CLEAN, Verdict.CLEAN), True),
        ((Verdict.CLEAN, Verdict.UNDECIDED), False),
        ((Verdict.UNDECIDED, Verdict.UNDECIDED), False),
    ],
)
def test_a_leak_of_pages_without_one_of_the_heap_is_undecided(heap, is_told):
    weighed = weigh_pages(judgement(), [HEAP[verdict] for verdict in heap])
    assert (weighed.verdict, weighed.shape, weighed.rate) == (Verdict.UNDECIDED, Shape.FILLING, None)
    assert "resident memory alone never decides." in weighed.evidence
    assert ("neither Python's blocks nor malloc's bytes grew" in weighed.evidence) is is_told


@pytest.mark.parametrize("shape", [None, Shape.FILLING])
def test_pages_that_are_undecided_are_clean_where_all_of_the_heap_is(shape):
    undecided = judgement(Verdict.UNDECIDED, shape=shape)
    weighed = weigh_pages(undecided, [HEAP[Verdict.CLEAN], HEAP[Verdict.CLEAN]])
    assert weighed.verdict is Verdict.CLEAN
    assert weighed.shape is (shape or Shape.PLATEAU)
    assert weighed.detectable == undecided.detectable


@pytest.mark.parametrize("verdict", [Verdict.LEAK, Verdict.UNDECIDED, Verdict.NOT_JUDGED])
def test_pages_that_are_undecided_stay_so_unless_all_of_the_heap_is_clean(verdict):
    undecided = judgement(Verdict.UNDECIDED)
    assert weigh_pages(undecided, [HEAP[Verdict.CLEAN], HEAP[verdict]]) is undecided


def test_pages_that_say_nothing_of_what_they_could_see_are_not_called_clean():
    too_few = judgement(Verdict.UNDECIDED, detectable=None)
    assert weigh_pages(too_few, [HEAP[Verdict.CLEAN], HEAP[Verdict.CLEAN]]) is too_few


@pytest.mark.parametrize("verdict", list(Verdict))
def test_where_nothing_is_counted_inside_pages_decide_as_before(verdict):
    alone = judgement(verdict)
    assert weigh_pages(alone, ()) is alone


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("pages", [Verdict.CLEAN, Verdict.NOT_JUDGED])
def test_the_heap_accuses_no_pages(pages, verdict):
    other = judgement(pages)
    assert weigh_pages(other, [HEAP[verdict]]) is other


# weak: only a strong leak stands in an audit that went wrong


TROUBLE = ("9 of 20 floors did not settle",)


def rising(rises, rounds=20):
    return series([min(index, rises) for index in range(rounds)])


@pytest.mark.parametrize(("rises", "verdict"), [(11, Verdict.UNDECIDED), (12, Verdict.LEAK), (19, Verdict.LEAK)])
def test_a_leak_stands_in_a_troubled_audit_from_a_dozen_rises_on(rises, verdict):
    assert withdraw(judgement(), rising(rises), 0, TROUBLE).verdict is verdict


@pytest.mark.parametrize(("low", "verdict"), [(0.0, Verdict.UNDECIDED), (0.49, Verdict.UNDECIDED), (0.5, Verdict.LEAK)])
def test_a_leak_stands_in_a_troubled_audit_if_its_rate_is_sure_to_half_of_it(low, verdict):
    assert withdraw(judgement(rate=rate(1.0, low=low, high=2.0)), rising(19), 0, TROUBLE).verdict is verdict


def test_a_weak_leak_says_why_it_was_taken_back():
    taken = withdraw(judgement(), rising(3), 0, (*TROUBLE, "the target's first process was replaced 2 times"))
    assert taken.evidence == (
        "Grew. Too weak to stand, because 9 of 20 floors did not settle; "
        "the target's first process was replaced 2 times."
    )


def test_a_weak_leak_stands_in_an_audit_without_trouble():
    leak = judgement(rate=rate(1.0, low=0.0))
    assert withdraw(leak, rising(3), 0, ()) is leak


def test_rises_before_the_judged_floors_and_across_a_break_do_not_count():
    early = series(range(20))
    assert withdraw(judgement(), early, 7, TROUBLE).verdict is Verdict.LEAK
    assert withdraw(judgement(), early, 8, TROUBLE).verdict is Verdict.UNDECIDED
    broken = series(range(20), breaks=tuple(range(1, 9)))
    assert withdraw(judgement(), broken, 0, TROUBLE).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize("verdict", NOT_LEAKS)
def test_trouble_takes_back_nothing_but_leaks(verdict):
    other = judgement(verdict)
    assert withdraw(other, rising(3), 0, TROUBLE) is other
