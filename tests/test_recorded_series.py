"""The rules on floors recorded from 48 real servers with planted behaviours, two runs."""

import gzip
import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from leakcheck.detect.counts import judge_count
from leakcheck.detect.levels import judge_level
from leakcheck.model.finding import Verdict
from leakcheck.model.reading import Resource, Statistic
from leakcheck.model.series import Series

pytestmark = pytest.mark.share(2)
"""Either of the two runs."""
RECORDED = Path(__file__).parent / "recorded"
COUNTS = ("fd", "nthr", "child", "zomb", "tmp", "tasks")
# What one operation of each leaking behaviour leaves, as the name says: KIND:EVERY or KIND:BYTES,EVERY.
COUNTED = {"fd": "fd", "thread": "nthr", "zombie": "zomb", "child": "child", "task": "tasks", "tmpfile": "tmp"}


def judged(run):
    with gzip.open(RECORDED / f"{run}.jsonl.gz", "rt") as file:
        lines = [json.loads(line) for line in file]
    floors = defaultdict(list)
    for line in lines[1:]:
        floors[line["i"]].append(line)
    for index, (behaviour, leaks) in enumerate(lines[0]["meta"]):
        mine = floors[index]
        played = [mine[0]["ops"], *(after["ops"] - before["ops"] for before, after in pairwise(mine))]
        found = {}
        for key in (*COUNTS, "anon"):
            level = key == "anon"
            values = tuple(float(floor[key]) * (1024 if level else 1) for floor in mine)
            resource = Resource(
                name="memory.anon" if level else key,
                unit="bytes" if level else key,
                statistic=Statistic.LEVEL if level else Statistic.COUNT,
                per_process=False,
            )
            series = Series(
                resource=resource,
                values=values,
                totals=values,
                operations=tuple((count,) for count in played),
                kinds=("request:GET /",),
                seconds=tuple(floor["t"] for floor in mine),
            )
            rule = judge_level if level else judge_count
            found[key] = rule(series, len(mine) // 3)
        yield behaviour, leaks, found, mine


@pytest.mark.parametrize("run", ["r2", "r3"])
def test_no_healthy_server_is_called_a_leak(run):
    alarms = [
        (behaviour, key)
        for behaviour, leaks, found, _ in judged(run)
        for key, judgement in found.items()
        if not leaks and judgement.verdict is Verdict.LEAK
    ]
    assert alarms == []


@pytest.mark.parametrize("run", ["r2", "r3"])
def test_every_planted_leak_of_a_count_is_found_with_its_rate(run):
    checked = 0
    for behaviour, leaks, found, mine in judged(run):
        kind, _, every = behaviour.partition(":")
        if not leaks or kind not in COUNTED:
            continue
        judgement = found[COUNTED[kind]]
        first = len(mine) // 3
        key = COUNTED[kind]
        rises = sum(after[key] > before[key] for before, after in pairwise(mine[first:]))
        if rises < 7:  # too few for the sign test: then it must not be called clean either
            assert judgement.verdict is Verdict.UNDECIDED, behaviour
            continue
        assert judgement.verdict is Verdict.LEAK, behaviour
        measured = (mine[-1][key] - mine[first][key]) / (mine[-1]["ops"] - mine[first]["ops"])
        assert judgement.rate.value == pytest.approx(measured, rel=0.1), behaviour
        assert judgement.rate.value == pytest.approx(1 / int(every), rel=1.0), behaviour  # drawn at random
        checked += 1
    assert checked >= 9


@pytest.mark.parametrize("run", ["r2", "r3"])
def test_large_leaks_of_memory_are_found_and_small_ones_are_below_the_stated_rate(run):
    expected = {"dict:1024,1": 1336, "dict:12288,1": 12600, "native:1024,1": 1040}
    small = {"dict:1024,10": 134, "dict:1024,100": 13, "native:1024,100": 10, "dict:12288,100": 126}
    seen = {behaviour: found["anon"] for behaviour, _, found, _ in judged(run)}
    for behaviour, rate in expected.items():
        assert seen[behaviour].verdict is Verdict.LEAK, behaviour
        assert seen[behaviour].rate.value == pytest.approx(rate, rel=0.1), behaviour
    for behaviour, rate in small.items():
        judgement = seen[behaviour]
        if judgement.verdict is Verdict.CLEAN:
            assert judgement.detectable.value >= rate, f"{behaviour} is called clean above its own rate"
        else:
            assert judgement.verdict in (Verdict.UNDECIDED, Verdict.LEAK)
