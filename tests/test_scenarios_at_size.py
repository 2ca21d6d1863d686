"""Scenarios that fill a server and search it: what they find, what they leave, and how they go on after an end."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.share(6)]

LOADTESTS = Path(find_spec("loadtests").origin).parent
ROUND_TRIPS = (
    *("agents", "churn", "embeddings", "headers", "memories", "procedures", "search"),
    *("sessions", "skills", "soak", "synapse", "tools", "vectors"),
)
"""Leave nothing."""


@pytest.fixture
def serve(tmp_path):
    """Start a reference server; its URL."""
    processes = []

    def start(*options):
        log = tmp_path / f"server-{len(processes)}.log"
        with log.open("w") as said:
            command = ["mimo-server", "--http", "127.0.0.1:0", *options]
            processes.append(subprocess.Popen(command, stderr=said, stdout=subprocess.DEVNULL))
        deadline = time.monotonic() + 30
        while not (found := re.search(r"MCP on (http://127\.0\.0\.1:\d+)/mcp", log.read_text())):
            assert processes[-1].poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        return found[1]

    yield start
    for one in processes:
        one.terminate()
    for one in processes:
        one.wait(20)


@pytest.fixture
def play(tmp_path):
    """Start Locust on a scenario, without waiting."""

    def start(scenario, host, *options):
        command = ["locust", "-f", LOADTESTS / "scenarios" / f"{scenario}.py", "--host", host, "--headless"]
        command += ["--only-summary", "--latencies", tmp_path / "latencies.json", *options]
        return subprocess.Popen(
            [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )

    return start


@pytest.fixture
def played(play, tmp_path):
    """Run a scenario to its end: what it printed, and what it wrote of latencies."""

    def run(scenario, host, *options, code=0):
        with play(scenario, host, *options) as process:
            said, _ = process.communicate(timeout=90)
        assert process.returncode == code, said
        return said, json.loads((tmp_path / "latencies.json").read_text())

    return run


def gauges(host):
    """How many of what a scenario could leave."""
    with urllib.request.urlopen(f"{host}/metrics", timeout=5) as answer:
        page = answer.read().decode()
    wanted = (
        r'^(mimo_memories|mimo_registry_entries{registry="(?:sessions|executions|connections|subscriptions)"}) (\S+)$'
    )
    return {name: float(value) for name, value in re.findall(wanted, page, re.MULTILINE)}


def settled(host, wanted):
    """The gauges, once they are what they were: a broken connection is noticed a moment later."""
    deadline = time.monotonic() + 10
    while (now := gauges(host)) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    return now


def distributed(workers):
    """Options for so many further processes, at a port of their own: the usual one may be taken."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    return "--processes", workers, "--master-bind-port", port, "--master-port", port


def test_a_store_is_filled_and_then_searched_under_open_arrivals(serve, played):
    host = serve("--max-memories", "5000")
    said, _ = played("fill", host, "-u", 3, "--memories", 1250)
    assert "1,250 of 1,250 memories" in said
    filled = gauges(host)
    assert filled["mimo_memories"] == 1250
    options = ("--memories", 1250, "-u", 20, "-r", 20, "-t", "4s", "--arrival-rate", 30)
    _, told = played("mixed", host, *options)
    (step,) = told["steps"]
    assert step["failed"] == 0
    kinds = {name: row["from_intended"]["count"] for name, row in told["rows"].items() if name.startswith("ROUND")}
    assert set(kinds) == {
        f"ROUND {one}" for one in ("Searching.exact", "Searching.partly", "Mixed.stores", "Mixed.health")
    }
    searches = kinds["ROUND Searching.exact"] + kinds["ROUND Searching.partly"]
    assert 0.5 < searches / sum(kinds.values()) < 0.9, "seven of ten, by chance"
    left = gauges(host)["mimo_memories"] - 1250
    assert left == kinds["ROUND Mixed.stores"], "one memory for each"


@pytest.mark.share(13)
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("scenario", ROUND_TRIPS)
def test_a_round_trip_leaves_nothing(serve, played, scenario, workers):
    host = serve()
    played("fill", host, "-u", 2, "--memories", 300)
    before = gauges(host)
    options = ("--memories", 300) if scenario == "search" else ()
    options += distributed(workers) if workers else ()
    options += ("--arrival-rate", 20, "-u", 6, "-r", 6, "-t", "3s", "--answer-seconds", 10)
    _, told = played(scenario, host, *options)
    (step,) = told["steps"]
    counts = {name: row["from_intended"]["count"] for name, row in told["rows"].items()}
    assert any(name.startswith("ROUND") for name in told["rows"])
    rounds = sum(count for name, count in counts.items() if name.startswith("ROUND"))
    assert 0 < step["ended"] <= rounds <= step["begun"], "every worker's histograms are in the master's"
    assert counts["operations"] == step["ended"] == step["count"]
    assert step["failed"] == 0
    assert settled(host, before) == before


def test_a_fill_that_was_killed_goes_on_and_stores_nothing_twice(serve, play, played):
    host = serve()
    with play("fill", host, "-u", 3, "--memories", 20_000) as process:
        deadline = time.monotonic() + 30
        while gauges(host)["mimo_memories"] < 1000:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    there = gauges(host)["mimo_memories"]
    wanted = int(there // 100 + 3) * 100 + 50
    said, _ = played("fill", host, "-u", 3, "--memories", wanted)
    assert f"{wanted:,} of {wanted:,} memories" in said
    assert gauges(host)["mimo_memories"] == wanted
    played("search", host, "--memories", wanted, "-u", 4, "-t", "2s")


def test_the_first_worker_fills_and_the_run_ends(serve, played):
    host = serve()
    played("fill", host, "-u", 4, "--memories", 700, *distributed(2))
    assert gauges(host)["mimo_memories"] == 700


def test_a_search_of_what_was_not_filled_says_so(serve, play):
    with play("search", serve(), "--memories", 10, "-u", 1, "-t", "2s") as process:
        said, _ = process.communicate(timeout=60)
    assert "0 memories are stored, of --memories 10: run fill first" in said
    assert process.returncode != 0


def test_empty_answers_of_a_busy_server_are_failures(serve, played):
    host = serve("--defect", "pool_silent")
    played("fill", host, "-u", 1, "--memories", 400, "--verify-every", 0)
    said, _ = played("search", host, "--memories", 400, "-u", 40, "-r", 40, "-t", "4s", code=1)
    assert "0 of 400 memories, where 10 were asked" in said


def test_the_locustfile_for_people_leaves_out_what_no_smallest_arguments_fit(serve):
    command = ["locust", "-f", LOADTESTS / "locustfile.py", "--host", serve(), "--headless", "-u", 3, "-t", "3s"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "tool memory_get is not called: it answers its smallest arguments with an error" in done.stderr
    assert "tools/call memory_stats" in done.stderr + done.stdout
