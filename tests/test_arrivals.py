"""Open-loop arrivals with real Locust against real servers, and the histograms that its workers send."""

import json
import re
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from loadtests.failures import MOST, Failures, FurtherError
from loadtests.latencies import MOST_NAMES, OTHERS, Latencies, summary

LOCUSTFILE = """
from locust import FastHttpUser, constant_throughput, task
from loadtests import arrivals  # noqa: F401

class Visitor(FastHttpUser):
    wait_time = constant_throughput(10)

    @task
    def look(self):
        self.client.get("/")
"""


@pytest.fixture
def stalling(programs):
    """Where a server listens that stands still for a second after its 50th request."""
    with subprocess.Popen(
        [sys.executable, programs / "stalling.py", "50"], stdout=subprocess.PIPE, text=True
    ) as process:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.kill()


@pytest.fixture
def locust(tmp_path):
    """Run Locust to its end; what it printed, its exit code, and what it wrote about latencies."""
    path = tmp_path / "locustfile.py"
    path.write_text(LOCUSTFILE)

    def run(*options, file=path):
        told = tmp_path / "latencies.json"
        command = [
            "locust",
            "-f",
            str(file),
            "--headless",
            "--only-summary",
            "--latencies",
            str(told),
            *map(str, options),
        ]
        done = subprocess.run(
            [*command, *map(str, options)], capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
        )
        return done.stdout + done.stderr, done.returncode, json.loads(told.read_text()) if told.exists() else None

    return run


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.mark.share(2)
@pytest.mark.parametrize("processes", [(), ("--processes", 2)])
def test_a_stall_is_seen_by_all_who_came_meanwhile(locust, stalling, processes):
    if processes:
        port = free_port()
        processes += ("--master-bind-port", port, "--master-port", port)
    said, code, told = locust("--host", stalling, "-u", 80, "-r", 80, "-t", "4s", "--arrival-rate", 50, *processes)
    assert code == 0, said
    (step,) = told["steps"]
    assert step["rate"] == 50
    assert step["due"] == step["begun"]
    assert step["dropped"] == step["failed"] == 0
    row = told["rows"]["GET /"]["from_intended"]
    assert row["count"] == step["ended"] > 100, "two seconds and more of fifty a second"
    assert row["max_ms"] > 900, "who came first waited for the whole second"
    assert row["p90_ms"] > 300, "a quarter of all came in that second, and half of those waited for half of it"
    assert "50/s intended" in said
    shown = re.search(r"^GET +/ +(\d+) .*", said, re.MULTILINE)
    assert int(shown[1]) == row["count"], "Locust's own table has them all"
    maxima = re.findall(r"^GET +/ +.*?(\d+) +\d+$", said, re.MULTILINE)
    assert any(int(one) > 900 for one in maxima), said


def test_the_closed_loop_asks_nobody_while_the_server_stands_still(locust, stalling):
    _, code, told = locust("--host", stalling, "-u", 2, "-r", 2, "-t", "5s")
    assert code == 0
    assert told["steps"] == []
    row = told["rows"]["GET /"]["from_intended"]
    assert row["max_ms"] > 900
    assert row["p90_ms"] < 300, "two requests of all met the stall"


def test_too_few_users_begin_late_and_that_is_in_the_latency_and_told(locust, stalling):
    _, code, told = locust("--host", stalling, "-u", 1, "-t", "4s", "--arrival-rate", 50)
    assert code == 0
    (step,) = told["steps"]
    assert step["late"] >= 10
    row = told["rows"]["GET /"]
    assert row["from_intended"]["p90_ms"] > 300
    assert row["from_sent"]["p90_ms"] < 300, "of sent requests only one met the stall"


SHAPES = Path(find_spec("loadtests").origin).parent / "shapes"


@pytest.mark.share(2)
@pytest.mark.parametrize(
    ("limit", "said"), [(5000, "the knee is at 40 operations a second"), (0, "no step met the limit")]
)
def test_the_staircase_says_which_step_met_the_limit(locust, stalling, tmp_path, limit, said):
    both = f"{tmp_path / 'locustfile.py'},{SHAPES / 'staircase.py'}"
    stairs = ("--arrival-rate", 40, "--stairs", 2, "--stairs-seconds", 2, "--stairs-p99", limit)
    told, code, found = locust("--host", stalling, "-u", 60, *stairs, file=both)
    assert said in told
    assert code == (0 if limit else 1)
    first, _ = found["steps"]
    assert (first["rate"], first["meets"]) == (20, limit > 0)


@pytest.mark.share(2)
def test_a_plateau_rises_and_a_soak_is_silent_in_between(locust, stalling, tmp_path):
    own = tmp_path / "locustfile.py"
    rise = ("--arrival-rate", 40, "--plateau-rise", 4, "--plateau-hold", 2)
    _, code, found = locust("--host", stalling, "-u", 60, *rise, file=f"{own},{SHAPES / 'plateau.py'}")
    assert code == 0
    assert [one["rate"] for one in found["steps"]] == [10, 20, 30, 40]
    turns = ("--arrival-rate", 20, "--soak-load", 2, "--soak-quiet", 2, "--soak-hours", 6 / 3600)
    _, code, found = locust("--host", stalling, "-u", 60, *turns, file=f"{own},{SHAPES / 'soak.py'}")
    assert code == 0
    assert [one["rate"] for one in found["steps"]] == [20, 0.01, 20]


def test_a_shape_without_a_rate_says_what_it_needs(locust, stalling, tmp_path):
    said, code, _ = locust("--host", stalling, file=f"{tmp_path / 'locustfile.py'},{SHAPES / 'plateau.py'}")
    assert code == 2
    assert "shapes need --arrival-rate" in said


@pytest.mark.share(4)
@pytest.mark.parametrize("wrong", ["many", "-1", "nan", "inf"])
def test_a_rate_that_is_none_is_refused(locust, wrong):
    said, code, _ = locust(f"--arrival-rate={wrong}")
    assert code == 2
    assert f"{wrong!r} is no rate: give operations a second, as 50 or 0.5" in said


def test_histograms_of_workers_are_merged_as_if_they_were_one():
    whole, first, second, merged = (Latencies() for _ in range(4))
    for number in range(1, 2001):
        whole.record("a", number / 1000)
        (first if number % 3 else second).record("a", number / 1000)
    for part in (first, second):
        merged.merge(part.take())
        assert part.take() == {}, "what was taken is not taken again"
    assert summary(merged.of("a")) == summary(whole.of("a"))
    assert summary(merged.of("a"))["p50_ms"] == pytest.approx(1000, rel=0.001)
    assert summary(merged.of("a"))["p99_ms"] == pytest.approx(1980, rel=0.001)


def test_failures_in_words_without_number_become_one():
    failures = Failures()
    first = [ValueError(f"memory {number} is not found") for number in range(MOST)]
    assert [failures.bounded(one) for one in first] == first
    further = {failures.bounded(ValueError(f"another {number}")) for number in range(1000)}
    assert [type(one) for one in further] == [FurtherError]
    again = ValueError("memory 3 is not found")
    assert failures.bounded(again) is again
    failures.clear()
    assert failures.bounded(ValueError("another 5")) not in further


def test_names_without_number_share_a_row():
    latencies = Latencies()
    for number in range(MOST_NAMES + 50):
        latencies.record(f"GET /{number}", 0.001)
    assert len(latencies.keys()) == MOST_NAMES + 1
    assert latencies.of(OTHERS).get_total_count() == 50


def test_a_latency_is_kept_within_what_a_histogram_can_hold():
    latencies = Latencies()
    for seconds in (0.0, -1.0, 1e9):
        latencies.record("a", seconds)
    told = summary(latencies.of("a"))
    assert (told["count"], told["max_ms"]) == (3, pytest.approx(3.6e6, rel=0.001))


def test_histograms_that_rest_are_packed_and_lose_nothing():
    few, all_open = Latencies(open_at_once=2), Latencies()
    for latencies in (few, all_open):
        for number in range(60):
            latencies.record(str(number % 6), 0.001 * (number + 1))
    assert len(few._open) == 2
    for key in map(str, range(6)):
        assert summary(few.of(key)) == summary(all_open.of(key))
    assert few.take().keys() == all_open.take().keys() == set(map(str, range(6)))
    few.record("3", 0.5)
    assert few.take().keys() == {"3"}
    few.record("3", 0.5)
    few.clear()
    assert (few.take(), few.keys()) == ({}, [])


BOUNDED = """
import time
from loadtests.bounded_stats import forget_before
from locust.stats import RequestStats

stats, now = RequestStats(), int(time.time())
for milliseconds in (0.12345, 12.345, 1234.5):
    stats.log_request("GET", "/", milliseconds, 1)
    stats.log_error("GET", "/", "no")
for one in (stats.total, stats.get("/", "GET")):
    one.num_reqs_per_sec.update({now - 500: 7, now - 121: 7})
    one.num_fail_per_sec[now - 500] = 7
forget_before(stats, now - 120)
for one in (stats.total, stats.get("/", "GET")):
    print(sum(one.num_reqs_per_sec.values()), sum(one.num_fail_per_sec.values()))
    print(one.num_requests, one.num_failures, *one.response_times)
"""


def test_locusts_statistics_forget_seconds_long_past_and_nothing_else():
    done = subprocess.run([sys.executable, "-c", BOUNDED], capture_output=True, text=True, check=True)
    assert done.stdout == 2 * "3 3\n3 3 0.12 12.0 1200.0\n"
