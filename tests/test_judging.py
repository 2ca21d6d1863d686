"""Resources of one audit in the light of each other: what one leaks, another's growth is not explained by."""

import pytest

from leakcheck.history import tracks
from leakcheck.judging import Case
from leakcheck.model.event import Floor, Phase, TargetInfo
from leakcheck.model.finding import Verdict
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.model.reading import Process, ProcessReadings, Resource, Snapshot, Statistic

ROOT = Process(pid=7, started=1, role="python", command="python server.py")
RING = "registry.events:recent"
RESOURCES = (
    Resource(name="heap.malloc", unit="bytes", statistic=Statistic.LEVEL, per_process=True),
    Resource(name="memory.anon", unit="bytes", statistic=Statistic.LEVEL, per_process=True),
    Resource(name=RING, unit="entries", statistic=Statistic.COUNT, per_process=True, bound=5_000.0, bound_by="maxlen"),
)
TARGET = TargetInfo(
    name="server",
    command=("server",),
    pid=7,
    started=1,
    server="server 1",
    protocol="MCP over stdio",
    ready_seconds=0.1,
    operations=("call:a",),
    not_played=(),
)
PLAN = AuditPlan(command=("server",), pid=None, driver=DriverKind.STDIO, rounds=40)


def floor(number, values):
    return Floor(
        round=number,
        phase=Phase.MAIN,
        operations={"call:a": 200 * number},
        planned={},
        failed={},
        load_seconds=1.0,
        settle_seconds=0.1,
        settled=True,
        loaded={},
        before_undo={},
        snapshot=Snapshot(
            at_seconds=float(number),
            cost_seconds=0.001,
            processes=(ProcessReadings(process=ROOT, values=values),),
            tree=(),
        ),
    )


def judged(malloc_each_round, malloc_each_entry, steps, *, seen_from=0):
    """A ring that gains now one, now the other of `steps`; pages follow what malloc gave out, by its arenas."""
    ring, given = 19, 4e6
    floors = []
    for number in range(41):
        gained = steps[number % len(steps)] if number else 0
        ring, given = ring + gained, given + malloc_each_round * (1 + number % 3) + malloc_each_entry * gained
        read = {RING: float(ring)} if number >= seen_from else {}
        pages = 30e6 + 132e3 * (given // 132e3)
        floors.append(floor(number, {"heap.malloc": given, "memory.anon": pages, **read}))
    followed = tracks(RESOURCES, floors)
    found = Case(PLAN, TARGET, floors, followed).judge(list(followed))
    return {one.track.resource.name: one.judgement.verdict for one in found}


@pytest.mark.parametrize("seen_from", [0, 20, 34])
def test_pages_are_not_put_down_to_a_ring_where_malloc_leaks(seen_from):
    """A ring seen late, a few entries fuller at the end: any growth of the few floors goes with that."""
    found = judged(24 * 65_536.0, 367.0, (0, 1), seen_from=seen_from)
    assert (found["heap.malloc"], found["memory.anon"]) == (Verdict.LEAK, Verdict.LEAK)
    assert found[RING] is not Verdict.LEAK


def test_pages_are_put_down_to_a_ring_where_malloc_is():
    found = judged(0.0, 65_536.0, (10, 0, 0, 20, 10))
    assert found == dict.fromkeys(("heap.malloc", "memory.anon", RING), Verdict.CLEAN)
