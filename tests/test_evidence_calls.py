"""The harness that measures calls: what it says is whole, and a wrong answer ends it. Its times are not judged."""

import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

EVIDENCE = Path(__file__).parents[1] / "reports" / "evidence"


@pytest.fixture(scope="module")
def calls():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EVIDENCE)
        yield importlib.import_module("calls")
        for name in ("calls", "calls_client"):
            del sys.modules[name]


def test_every_row_has_its_figures_and_its_ratios_to_the_others(calls):
    rows = [row for row in calls.ROWS if row.question is calls.ECHO]
    cores = os.sched_getaffinity(0)
    found = calls.calls(Path("unused"), rows=rows, rounds=2, seconds=0.1)
    assert os.sched_getaffinity(0) == cores
    assert [(one["server"], one["era"]) for one in found["result"]] == [(row.server, row.era) for row in rows]
    for one in found["result"]:
        assert one["calls"] > 0
        assert one["cpu_us_per_call"] > 0
        assert one["calls_per_s"] > 0
        assert 0 < one["p50_ms"] <= one["p99_ms"]
        assert one["loop"] == ("asyncio, h11" if one["server"] == "bare_h11" else "uvloop, httptools")
        for name in ("bare", "sdk_best"):
            ratio = one[f"ratio_to_{name}"]
            assert ratio["min"] <= ratio["median"] <= ratio["max"]
    assert found["result"][0]["ratio_to_bare"] == {"median": 1.0, "min": 1.0, "max": 1.0}
    best = min(found["result"][2:], key=lambda one: one["cpu_us_per_call"])
    assert best["ratio_to_sdk_best"] == {"median": 1.0, "min": 1.0, "max": 1.0}


@pytest.mark.share(2)
@pytest.mark.parametrize("server", ["bare", "sdk_low"])
def test_an_answer_that_is_not_the_one_expected_ends_the_measurement(calls, server):
    row = next(row for row in calls.ROWS if row.server == server)
    wrong = replace(row, question=replace(calls.ECHO, answered=lambda result, _: not result))
    client = importlib.import_module("calls_client")
    with pytest.raises(client.WrongAnswerError, match="echo 1"):
        calls.calls(Path("unused"), rows=[wrong], rounds=1, seconds=0.1)


def test_our_server_is_asked_its_own_tool_in_both_eras(calls):
    rows = [calls.BARE, *(row for row in calls.ROWS if row.question is calls.CHECK)]
    found = calls.calls(Path("unused"), rows=rows, rounds=1, seconds=0.1)
    assert [(one["tool"], one["calls"] > 0) for one in found["result"]] == [
        ("echo", True),
        ("interrupt_check", True),
        ("interrupt_check", True),
    ]
    assert "ratio_to_sdk_best" not in found["result"][1]
