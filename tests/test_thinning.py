"""A watch keeps few floors however long it runs, and the journal alone gives the same audit."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from leakcheck.model.event import Ended, Floor, Phase, Planned, Ready, TargetInfo, Warned
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.model.reading import (
    Holder,
    Process,
    ProcessReadings,
    Reading,
    Resource,
    Snapshot,
    Statistic,
    Unread,
)
from leakcheck.thinning import MOST_FLOORS, interval_at, merged, thinned, thinned_events
from leakcheck.verdicts import conclude

FDS = Resource(name="fds.file", unit="files", statistic=Statistic.COUNT, per_process=True)
TASKS = Resource(name="processes", unit="processes", statistic=Statistic.COUNT, per_process=False)


def floor(at, files=None, tree=None, every=1.0, unread=()):
    """A floor: `files` maps pids to their value, `tree` names to theirs."""
    return Floor(
        round=0,
        phase=Phase.QUIET,
        operations={},
        planned={},
        failed={},
        load_seconds=every,
        settle_seconds=0.0,
        settled=True,
        loaded={},
        before_undo={},
        snapshot=Snapshot(
            at_seconds=at,
            cost_seconds=0.001,
            processes=tuple(
                ProcessReadings(
                    process=Process(pid=pid, started=pid, role="server", command="server"),
                    values={"fds.file": value},
                    holders={"fds.file": (Holder(name=f"held at {at}", count=value),)},
                )
                for pid, value in (files or {}).items()
            ),
            tree=tuple(Reading(resource=name, value=value) for name, value in (tree or {}).items()),
            unread=unread,
        ),
    )


def values(one):
    return {part.process.pid: part.values["fds.file"] for part in one.snapshot.processes}


def recorded(steps, every=1.0):
    """Floors as a watch writes them: one a slot, `steps` slots passed over in between, coarser as time goes on."""
    floors, at = [], 0.0
    for skipped, place, files in steps:
        interval = interval_at(every, at)
        at += skipped * interval
        interval = interval_at(every, at)
        slot = at // interval
        floors.append(floor((slot + place) * interval, files, {"processes": len(files)}, every=interval))
        at = (slot + 1) * interval
    return floors


SNAPSHOTS = st.dictionaries(st.integers(1, 5), st.integers(0, 50).map(float), max_size=4)
STEPS = st.lists(st.tuples(st.integers(0, 3), st.floats(0, 0.99), SNAPSHOTS), min_size=1, max_size=60).flatmap(
    lambda some: st.integers(1, 20).map(lambda times: some * times)
)
TIMES = st.lists(st.floats(0, 1e6), min_size=1, max_size=400).map(sorted)


@settings(max_examples=50, deadline=None)
@given(TIMES)
def test_however_many_floors_there_are_at_most_240_are_kept_and_in_order(times):
    kept = thinned([floor(at) for at in times])
    assert 1 <= len(kept) <= MOST_FLOORS
    at = [one.snapshot.at_seconds for one in kept]
    assert at == sorted(at)
    assert at[-1] == times[-1]
    assert [one.round for one in kept] == list(range(len(kept)))


@settings(max_examples=50, deadline=None)
@given(TIMES)
def test_thinning_twice_changes_nothing(times):
    once = thinned([floor(at, {1: at}) for at in times])
    assert thinned(once) == once


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 1200))
def test_floors_thinned_on_the_way_end_as_those_thinned_at_once(steps, cut):
    floors = recorded(steps)
    at_once = thinned(floors)
    live: list[Floor] = []
    for one in floors[cut:]:
        live = thinned([*(live or thinned(floors[:cut])), one])
    if floors[cut:]:
        assert live == at_once


@settings(max_examples=30, deadline=None)
@given(TIMES, st.data())
def test_a_kept_floor_holds_the_lowest_reading_of_its_slot(times, data):
    readings = [float(data.draw(st.integers(0, 100))) for _ in times]
    floors = [floor(at, {7: value}, {"processes": value}) for at, value in zip(times, readings, strict=True)]
    kept = thinned(floors)
    interval = kept[0].load_seconds
    for one in kept:
        slot = one.snapshot.at_seconds // interval
        lowest = min(value for at, value in zip(times, readings, strict=True) if at // interval == slot)
        assert values(one) == {7: lowest}
        assert [reading.value for reading in one.snapshot.tree] == [lowest]


def test_the_first_third_is_warm_up_and_the_rest_quiet():
    phases = [one.phase for one in thinned([floor(float(at)) for at in range(30)])]
    assert phases == [Phase.WARM_UP] * 10 + [Phase.QUIET] * 20


def test_the_interval_doubles_whenever_240_are_full():
    assert [interval_at(0.5, at) for at in (0, 119.9, 120, 239.9, 240, 480)] == [0.5, 0.5, 1, 1, 2, 4]


def test_a_damaged_journal_ends_in_some_floors_and_not_in_an_endless_loop():
    assert len(thinned([floor(1.0, every=0.0), floor(2.0, every=0.0)])) == 2
    assert len(thinned([floor(0.0), floor(float("inf"))])) >= 1


def test_a_process_that_only_one_of_two_has_is_kept_as_in_the_later():
    one = merged(floor(0, {1: 5.0, 2: 9.0}), floor(1, {1: 7.0, 3: 4.0}))
    assert values(one) == {1: 5.0, 3: 4.0}


def test_holders_come_with_the_reading_that_was_lower():
    one = merged(floor(0, {1: 5.0, 2: 9.0}), floor(1, {1: 7.0, 2: 3.0}))
    assert [part.holders["fds.file"][0].name for part in one.snapshot.processes] == ["held at 0", "held at 1"]


def test_what_could_be_read_once_is_not_unread():
    reason = Unread(resource="metric.sessions", reason="the metrics page did not answer")
    lost = Unread(resource="metric.other", reason="the metrics page did not answer")
    one = merged(floor(0, tree={"metric.sessions": 3.0}), floor(1, unread=(reason, lost)))
    assert {reading.resource: reading.value for reading in one.snapshot.tree} == {"metric.sessions": 3.0}
    assert one.snapshot.unread == (lost,)


def test_resources_that_appeared_on_the_way_are_not_lost():
    floors = [floor(float(at)) for at in range(500)]
    floors[3] = replace(floors[3], resources=(FDS,))
    assert [one.resources for one in thinned(floors) if one.resources] == [(FDS,)]


def events(floors):
    root = Process(pid=7, started=7, role="server", command="server")
    target = TargetInfo(
        name="server",
        command=("server",),
        pid=7,
        started=7,
        server="server",
        protocol="watched, not driven",
        ready_seconds=0.0,
        operations=(),
        not_played=(),
        root=root,
    )
    plan = AuditPlan(command=None, pid=7, driver=DriverKind.NONE)
    return [
        Planned(schema=1, version="1", at="2026-11-22T00:00:00+00:00", plan=plan, environment={}),
        Ready(target=target, resources=(FDS, TASKS)),
        Warned(message="nothing was driven"),
        *floors,
        Ended(how="finished", wall_seconds=9999.0, auditor_cpu_seconds=1.0, looking_cpu_seconds=1.0),
    ]


def test_the_whole_journal_and_what_was_kept_in_memory_give_the_same_audit():
    times = [one.snapshot.at_seconds for one in recorded([(0, 0.5, {})] * 700)]
    slots = [interval_at(1.0, at) for at in times]
    files = [{7: float(int(at)), 8: 3.0 + number % 4} for number, at in enumerate(times)]
    grown = [floor(at, held, {"processes": 2.0}, every) for at, held, every in zip(times, files, slots, strict=True)]
    kept = []
    for one in events(grown):
        kept.append(one)
        if isinstance(one, Floor):
            kept[:] = thinned_events(kept)
    assert len(kept) < 260
    audit = conclude(events(grown))
    assert conclude(kept) == audit
    assert len(audit.rounds) <= MOST_FLOORS
    found = {finding.resource: finding for finding in audit.findings}
    assert found["fds.file"].verdict == "leak"
    assert found["fds.file"].rate.per == "second"
    assert found["processes"].verdict == "clean"
