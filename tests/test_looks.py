"""When verdicts are looked at, what is played afresh, where the parts of an audit begin, and what weakens it."""

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leakcheck import confirming
from leakcheck.conduct import troubles
from leakcheck.detect import Judgement
from leakcheck.forecasts import needs
from leakcheck.history import end_of_confirming, end_of_fresh, end_of_judged, ends_of_fresh, first_judged
from leakcheck.looks import Looks, is_clear
from leakcheck.model.event import Floor, Phase
from leakcheck.model.finding import Shape, Verdict
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.model.reading import Process, ProcessReadings, Reading, Snapshot

KINDS = ("call:a", "call:b", "reject")
PHASES = {
    "p": Phase.PILOT,
    "w": Phase.WARM_UP,
    "m": Phase.MAIN,
    "q": Phase.QUIET,
    "c": Phase.CONFIRM,
    "i": Phase.IDLE,
    "a": Phase.ABANDON,
    "t": Phase.WAIT,
}
PLAYED = (Phase.PILOT, Phase.WARM_UP, Phase.MAIN, Phase.CONFIRM)


def root(pid=1, started=5, **values):
    return ProcessReadings(process=Process(pid=pid, started=started, role="python", command="python"), values=values)


def floors_of(word, dose=20, seconds=1.0, sockets=0.0):
    """One floor for each letter: `pppwwmmqmcciiat`; `dose` operations of each kind in each round that plays."""
    done, made = 0, []
    for index, phase in enumerate(PHASES[letter] for letter in word):
        done += dose if phase in PLAYED else 0
        made.append(
            Floor(
                round=index,
                phase=phase,
                operations=dict.fromkeys(KINDS, done),
                planned=dict.fromkeys(KINDS, dose) if phase in PLAYED else {},
                failed={},
                load_seconds=0.4,
                settle_seconds=0.1,
                settled=True,
                loaded={},
                before_undo={},
                snapshot=Snapshot(
                    at_seconds=seconds * (index + 1),
                    cost_seconds=0.01,
                    processes=(root(),),
                    tree=(Reading(resource="fds.socket", value=sockets),),
                ),
            )
        )
    return made


# looks: few and at fixed times


def due(floors_at, half_at=1000, *, is_fixed=False):
    """The numbers of floors at which it was time, if it is asked after each."""
    looks, found = Looks(is_fixed=is_fixed), []
    floors = floors_of("m" * floors_at)
    for count in range(1, floors_at + 1):
        if looks.is_due(floors[:count], is_half_over=count >= half_at):
            found.append(count)
            looks.looked(floors[:count])
    return found


def test_it_looks_first_at_27_floors_and_then_at_each_four_tenths_more():
    assert due(120) == [27, 38, 54, 76, 107]


def test_half_of_the_time_is_one_more_time_to_look_and_moves_the_next():
    assert due(60, half_at=45) == [27, 38, 45]
    assert due(76, half_at=45) == [27, 38, 45, 75]


def test_half_of_the_time_before_27_floors_is_no_time_to_look():
    assert due(30, half_at=10) == [27]


def test_fixed_rounds_are_never_looked_at_before_their_end():
    assert due(120, half_at=60, is_fixed=True) == []


@given(st.integers(1, 400), st.integers(1, 400))
@settings(max_examples=40, deadline=None)
def test_however_long_it_takes_it_looks_few_times(count, half):
    times = due(count, half_at=half)
    assert len(times) <= 10
    assert all(one >= 27 for one in times)


def test_clear_needs_four_thousand_judged_operations_of_each_kind():
    word = "p" * 10 + "m" * 21  # thirteen of the last are judged rounds beside the one they start from
    first = first_judged(floors_of(word))
    rounds = len(word) - first - 1
    enough = -(-4000 // rounds)
    assert is_clear(KINDS, floors_of(word, dose=enough))
    assert not is_clear(KINDS, floors_of(word, dose=enough - 1))


def test_one_kind_that_was_played_too_little_or_never_is_not_clear():
    floors = floors_of("p" * 10 + "m" * 20, dose=400)
    assert is_clear(KINDS, floors)
    assert not is_clear((*KINDS, "call:rare"), floors)
    rare = [dataclasses.replace(one, operations={**one.operations, "reject": 10 * one.round}) for one in floors]
    assert not is_clear(KINDS, rare)


def test_operations_of_the_warm_up_make_nothing_clear():
    assert not is_clear(KINDS, floors_of("p" * 20 + "m" * 4, dose=800))


# history: where the parts begin


@pytest.mark.parametrize(
    ("word", "first", "judged", "fresh", "confirming_end", "runs"),
    [
        ("", 0, 0, 0, 0, []),
        ("ppp", 2, 3, 3, 3, []),
        ("mmm", 0, 3, 3, 3, []),
        ("pppwwwmmmmmm", 5, 12, 12, 12, []),
        ("pppmmmmmmmmmqmm", 5, 15, 15, 15, []),
        ("pppwqmmm", 3, 8, 8, 8, []),
        ("pppwwmmmmcccii", 4, 9, 12, 14, [14]),
        ("pppwwmmmmccciiat", 4, 9, 12, 14, [14]),
        ("pppwwmmmmat", 4, 9, 9, 9, []),
        ("pppwmmmcciimmmmccii", 5, 15, 17, 19, [11, 19]),
        ("pppwmmmcciimmmm", 5, 15, 15, 15, [11]),
        ("pppwmmmcicimmmiiat", 4, 14, 14, 16, [11, 16]),
    ],
)
def test_the_parts_of_an_audit_are_found_by_their_phases(word, first, judged, fresh, confirming_end, runs):
    floors = floors_of(word)
    assert first_judged(floors) == first
    assert end_of_judged(floors) == judged
    assert end_of_fresh(floors) == fresh
    assert end_of_confirming(floors) == confirming_end
    assert ends_of_fresh(floors) == runs


@given(st.text("pwmqciat", max_size=60))
@settings(max_examples=200, deadline=None)
def test_the_parts_of_any_audit_follow_one_another(word):
    floors = floors_of(word)
    first, judged, fresh, end = (
        part(floors) for part in (first_judged, end_of_judged, end_of_fresh, end_of_confirming)
    )
    assert 0 <= judged <= fresh <= end <= len(floors)
    assert first == 0 or first < len(floors)
    assert all(floor.phase is Phase.IDLE for floor in floors[fresh:end])
    assert all(floor.phase in (Phase.CONFIRM, Phase.IDLE) for floor in floors[judged:end])
    assert all(floors[index - 1].phase in (Phase.CONFIRM, Phase.IDLE) for index in ends_of_fresh(floors))


@given(st.integers(1, 20), st.integers(1, 60), st.integers(0, 12))
@settings(max_examples=100, deadline=None)
def test_a_third_of_the_rounds_is_left_out_and_fresh_rounds_do_not_move_it(warm, main, fresh):
    alone, with_fresh = floors_of("w" * warm + "m" * main), floors_of("w" * warm + "m" * main + "c" * fresh)
    assert first_judged(alone) == first_judged(with_fresh) == max(warm - 1, (warm + main) // 3)


# confirming: what is played afresh


def played(steps):
    return [{kind: dose for kind, dose in step.doses.items() if dose} for step in steps]


def test_a_cycle_plays_each_suspect_alone_and_then_all_others_at_high_doses():
    floors = floors_of("pppwwmmmm")
    steps = confirming.cycle(("call:a", "reject"), KINDS, floors)
    assert {step.phase for step in steps} == {Phase.CONFIRM}
    assert played(steps) == [{"call:a": 30}, {"reject": 30}, {"call:b": 30}]


def test_a_suspect_in_any_era_is_played_in_all_of_them():
    kinds = ("reject@2025-11-25", "reject@2026-07-28", "session")
    floors = [dataclasses.replace(one, planned=dict.fromkeys(kinds, 10)) for one in floors_of("pppmmmm")]
    assert played(confirming.cycle(("reject",), kinds, floors)) == [
        {"reject@2025-11-25": 15, "reject@2026-07-28": 15},
        {"session": 15},
    ]


@pytest.mark.parametrize(("suspects", "kinds"), [((), KINDS), (("call:a",), ("call:a",)), ((), ("call:a",))])
def test_where_nobody_is_suspected_or_there_is_only_one_kind_everything_is_played_twice(suspects, kinds):
    steps = confirming.cycle(suspects, kinds, floors_of("pppmmmm"))
    assert played(steps) == [dict.fromkeys(kinds, 30)] * 2


def test_where_all_are_suspected_no_round_of_the_others_is_played():
    assert len(confirming.cycle(KINDS, KINDS, floors_of("pppmmmm"))) == len(KINDS)


def test_a_dose_is_two_at_least_and_without_kinds_nothing_is_played():
    assert played(confirming.cycle(("call:a",), KINDS, floors_of("pppmmmm", dose=0)))[0] == {"call:a": 2}
    assert confirming.cycle((), (), floors_of("pppmmmm")) == []


@given(st.sets(st.sampled_from(KINDS), max_size=3))
@settings(max_examples=20, deadline=None)
def test_each_kind_is_played_in_every_cycle(suspects):
    steps = confirming.cycle(sorted(suspects), KINDS, floors_of("pppmmmm"))
    assert {kind for row in played(steps) for kind in row} == set(KINDS)
    assert all(step.doses for step in steps)


class Clock:
    """Time that passes by what is played, and the floors that this leaves."""

    def __init__(self, at_seconds, sockets):
        self.now, self._sockets = 0.0, iter(sockets)
        self.floors = [self._floor(at_seconds, next(self._sockets)) for _ in range(4)]

    @staticmethod
    def _floor(at_seconds, sockets):
        return floors_of("i", seconds=at_seconds, sockets=sockets)[0]

    def elapsed(self):
        return self.now

    def quiet(self, most, least=0.0):
        """Play the quiet phase, a second a floor; how many floors it took."""
        begun = self.floors[-1].snapshot.at_seconds
        count = 0
        for step in confirming.idle(self.floors, self.elapsed, most, least=least):
            assert (step.phase, step.doses) == (Phase.IDLE, {})
            self.now += step.quiet_seconds
            self.floors.append(self._floor(begun + self.now, next(self._sockets)))
            count += 1
        return count


def still(value=50.0):
    while True:
        yield value


def falling(by, start=1000.0, until=0.0):
    value = start
    while True:
        yield value
        value = max(until, value - by)


@pytest.mark.parametrize(("before", "seconds"), [(2.0, 3), (10.0, 4), (20.0, 7), (30.0, 11), (100.0, 12)])
def test_the_quiet_is_as_long_as_a_third_of_what_came_before_within_three_and_twelve_seconds(before, seconds):
    assert Clock(before, still()).quiet(60.0) == seconds


def test_the_quiet_goes_on_while_pieces_come_back_and_ends_soon_after():
    short, long = (Clock(10.0, falling(20, start=1000, until=until)).quiet(300.0) for until in (1000, 600))
    assert short == 4
    assert 20 <= long <= 27  # the four before it are floors too: sixteen seconds of falling, and what is added to them


def test_the_quiet_never_takes_more_than_a_minute_nor_than_the_time_there_is():
    assert Clock(10.0, falling(20, start=1e6)).quiet(300.0) <= 60
    forever = Clock(10.0, falling(2e4, start=1e6, until=-1e9)).quiet(300.0)
    assert forever == 60
    assert Clock(10.0, falling(2e4, start=1e6, until=-1e9)).quiet(20.0) == 20


def test_the_quiet_can_be_asked_to_last_but_never_longer_than_its_longest():
    assert Clock(2.0, still()).quiet(60.0, least=9.0) == 9
    assert Clock(2.0, still()).quiet(60.0, least=40.0) == 12
    assert Clock(30.0, still()).quiet(60.0, least=-5.0) == 11


def test_the_time_there_is_does_not_cut_the_shortest_quiet():
    assert Clock(2.0, still()).quiet(0.0) == 3


def test_a_fall_of_two_pieces_or_of_a_hundredth_keeps_nobody_waiting():
    two = iter([10.0, 10.0, 10.0, 10.0, 10.0, 9.0, 9.0, 8.0])
    assert Clock(10.0, two).quiet(60.0) == 4
    three = iter([10.0, 10.0, 10.0, 10.0, 10.0, 9.0, 8.0, 7.0, *[7.0] * 9])
    assert Clock(10.0, three).quiet(60.0) > 4
    hundredth = iter([1000.0] * 5 + [997.0, 993.0, 990.0] + [990.0] * 9)
    assert Clock(10.0, hundredth).quiet(60.0) == 4


def test_memory_that_falls_keeps_nobody_waiting():
    clock = Clock(10.0, falling(20))
    for floor in clock.floors:
        assert floor.snapshot.tree[0].resource == "fds.socket"
    memory = Clock(10.0, still())
    draw, level = random.Random(1), 1e9

    def pages(at_seconds, sockets):
        nonlocal level
        level -= draw.uniform(1e7, 2e7)
        (floor,) = floors_of("i", seconds=at_seconds, sockets=sockets)
        tree = (*floor.snapshot.tree, Reading(resource="memory.anon", value=level))
        return dataclasses.replace(floor, snapshot=dataclasses.replace(floor.snapshot, tree=tree))

    memory._floor = pages
    assert memory.quiet(60.0) == 4


# forecasts: what would decide it


def plan(**more):
    return AuditPlan(command=("server",), pid=None, driver=more.pop("driver", DriverKind.HTTP), **more)


def undecided(times=2.0, verdict=Verdict.UNDECIDED, shape=None):
    return Judgement(verdict=verdict, shape=shape, evidence="Changed.", times_longer=times)


@pytest.mark.parametrize(
    ("more", "times", "told"),
    [
        ({}, 2.0, "20 more rounds, or --budget 2m"),
        ({}, 1.5, "10 more rounds, or --budget 90s"),
        ({}, 1.01, "1 more round, or --budget 61s"),
        ({"budget_seconds": 3600.0}, 3.0, "40 more rounds, or --budget 3h"),
        ({"budget_seconds": 60.0}, 1e9, "380 more rounds, or --budget 20m"),
        ({"rounds": 30}, 1.5, "10 more rounds: --rounds 40"),
        ({"driver": DriverKind.NONE}, 1.5, "10 more rounds of watching"),
        ({"driver": DriverKind.NONE}, 1.01, "1 more round of watching"),
    ],
)
def test_what_is_undecided_says_what_would_decide_it(more, times, told):
    floors = floors_of("p" * 10 + "m" * 21)
    assert needs(plan(**more), floors, 10, undecided(times)) == told


@pytest.mark.parametrize("verdict", [Verdict.LEAK, Verdict.CLEAN, Verdict.NOT_JUDGED])
def test_what_is_decided_needs_nothing(verdict):
    assert needs(plan(), floors_of("pppmmm"), 2, undecided(verdict=verdict)) == ""


def test_stored_data_needs_no_more_rounds_and_no_floors_say_nothing():
    assert needs(plan(), floors_of("pppmmm"), 2, undecided(shape=Shape.STORED)) == ""
    assert needs(plan(), [], 0, undecided()) == ""


@given(st.integers(0, 200), st.floats(1.0, 50.0), st.floats(1.0, 86_400.0))
@settings(max_examples=100, deadline=None)
def test_a_budget_that_is_named_is_long_enough(judged, times, budget):
    floors = floors_of("p" + "m" * judged)
    told = needs(plan(budget_seconds=budget), floors, 0, undecided(times))
    rounds, _, text = told.partition(", or --budget ")
    size = {"s": 1, "m": 60, "h": 3600}[text[-1]]
    assert int(text[:-1]) * size >= budget * min(times, 20.0) - 1e-6
    assert int(rounds.split()[0]) >= 1


# conduct: what weakens an audit


def with_floors(word, change, where):
    return [change(one) if where(index) else one for index, one in enumerate(floors_of(word))]


def restless(floor):
    return dataclasses.replace(floor, settled=False)


def slow(floor):
    return dataclasses.replace(floor, snapshot=dataclasses.replace(floor.snapshot, cost_seconds=1.1))


def another_root(floor):
    return dataclasses.replace(floor, snapshot=dataclasses.replace(floor.snapshot, processes=(root(started=9),)))


def test_an_audit_in_which_all_went_well_has_no_troubles():
    assert troubles(floors_of("pppwwmmmmmmmmq")) == ()
    assert troubles([]) == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [(restless, "3 of 8 floors did not settle"), (slow, "3 of 8 looks took longer than 1 s")],
)
def test_more_than_a_quarter_of_the_judged_floors_is_trouble_and_a_quarter_is_none(change, told):
    word = "ppp" + "m" * 8
    assert troubles(with_floors(word, change, lambda index: index >= 9)) == ()
    assert troubles(with_floors(word, change, lambda index: index >= 8)) == (told,)
    assert troubles(with_floors(word, change, lambda index: index < 3)) == ()


def test_a_look_of_a_second_is_not_too_long():
    def second(floor):
        return dataclasses.replace(floor, snapshot=dataclasses.replace(floor.snapshot, cost_seconds=1.0))

    assert troubles(with_floors("pppmmmm", second, lambda _: True)) == ()


def test_a_first_process_that_was_replaced_is_trouble_each_time():
    assert troubles(with_floors("pppmmmmmm", another_root, lambda index: index >= 5)) == (
        "the target's first process was replaced 1 times",
    )
    assert troubles(with_floors("pppmmmmmm", another_root, lambda index: index == 5)) == (
        "the target's first process was replaced 2 times",
    )


def test_another_pid_with_another_start_is_another_process_and_a_worker_is_none():
    def worker(floor):
        snapshot = dataclasses.replace(floor.snapshot, processes=(root(), root(pid=floor.round + 50)))
        return dataclasses.replace(floor, snapshot=snapshot)

    assert troubles(with_floors("pppmmmm", worker, lambda _: True)) == ()


@pytest.mark.parametrize(("failed", "is_trouble"), [(4, False), (5, True), (20, True)])
def test_less_than_four_fifths_played_well_is_trouble(failed, is_trouble):
    def failing(floor):
        return dataclasses.replace(floor, failed={"reject": failed})

    found = troubles(with_floors("ppp" + "m" * 10, failing, lambda index: index >= 3))
    told = f"of reject, {10 * (20 - failed)} of 200 planned were played well"
    assert found == ((told,) if is_trouble else ())


def test_several_troubles_are_all_told():
    floors = [slow(restless(one)) for one in floors_of("pppmmmm")]
    assert len(troubles(floors)) == 2
