"""What the load side claims: its client's cost, its open loop against a stall, and a search at a million under it.

    nox -s evidence -- reports/<date>-load

`client` plays the same call with Locust's FastHttpUser and with McpUser, in turn. `stall` sets three loads against a
server that stands still for two seconds in every ten: a plain open loop, which is the truth, Locust alone, and Locust
with arrivals. `knee-1m` fills a server with a million memories over MCP, climbs the staircase, and searches for an
hour at 60 % of the knee while `leakcheck watch` looks on. `soak` plays everything for half an hour and reads the
memory of the load itself.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from calls import BARE, cores, serving
from measuring import without_paths

import loadtests

ROUNDS, CALLS = 25, 3000
RATE, SECONDS = 50.0, 50
MILLION = 1_000_000
_SIZE = ("--memories", MILLION)
P99_MS = 250.0
"""Of a step of the staircase."""
SHARE = 0.6
"""Of the knee."""
SEARCH_SECONDS = 3600
"""A watch from outside needs so long: searches move the memory of a server at work up and down by megabytes."""
SOAK_SECONDS = 1800
_COLUMNS = {"p50": "50%", "p90": "90%", "p95": "95%", "p99": "99%"}
"""Of Locust's CSV file."""
_LEFT_OUT = {"item", "command", "commit", "at", "machine", "search", "watch", "anonymous_kib_each_half_minute"}
_BESIDE = Path(__file__).parent
_SCENARIOS = Path(loadtests.__file__).parent / "scenarios"
_SHAPES = Path(loadtests.__file__).parent / "shapes"
_STORE = Path(tempfile.gettempdir()) / "mimo-evidence-1m"
"""Kept until the item is done, so that a fill goes on where it was ended."""
_CLOSED = """
from locust import FastHttpUser, constant_throughput, task

class Visitor(FastHttpUser):
    wait_time = constant_throughput(5)

    @task
    def look(self):
        self.client.get("/")
"""


def _client(folder: Path) -> dict[str, Any]:
    del folder
    took: dict[str, list[float]] = {"fast": [], "lean": []}
    with cores() as (first, last), serving(BARE.command, first) as server:
        for _ in range(ROUNDS):
            for kind, own in took.items():
                command = [sys.executable, str(_BESIDE / "load_clients.py"), kind, f"http://127.0.0.1:{server.port}"]
                done = subprocess.run([*command, str(CALLS)], capture_output=True, text=True, check=True)
                own.append(float(done.stdout))
        placed = {"server": sorted(first), "client": sorted(last)}
    ratios = sorted(lean / fast for lean, fast in zip(took["lean"], took["fast"], strict=True))
    return {
        "command": ["nox", "-s", "evidence", "--", "FOLDER", "client"],
        "rounds": ROUNDS,
        "calls": CALLS,
        "cores": placed,
        "cpu_us_per_call": {kind: round(median(own), 1) for kind, own in took.items()},
        "result": {
            "ratio": round(median(ratios), 3),
            "least": round(ratios[0], 3),
            "most": round(ratios[-1], 3),
        },
    }


def _stall(folder: Path) -> dict[str, Any]:
    del folder
    with (
        tempfile.TemporaryDirectory() as temporary,
        subprocess.Popen(
            [sys.executable, _BESIDE / "load_stalls.py", "serve"], stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        assert server.stdout is not None
        port = int(server.stdout.readline())
        command = [sys.executable, _BESIDE / "load_stalls.py", "truth", port, RATE, SECONDS]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=True)
        found = {"truth": json.loads(done.stdout)}
        path = Path(temporary, "closed.py")
        path.write_text(_CLOSED)
        _locust(path, port, "-u", 10, "-r", 10, "-t", f"{SECONDS}s", "--csv", f"{temporary}/closed")
        with Path(temporary, "closed_stats.csv").open() as rows:
            (row,) = [row for row in csv.DictReader(rows) if row["Name"] == "/"]
        shown = {name: float(row[column]) for name, column in _COLUMNS.items()}
        found["locust_alone"] = {**shown, "per_second": round(int(row["Request Count"]) / SECONDS, 1)}
        path = Path(temporary, "open.py")
        path.write_text(f"from loadtests import arrivals\n{_CLOSED}")
        told = Path(temporary, "told.json")
        options = ("-u", 300, "-r", 300, "-t", f"{SECONDS}s", "--arrival-rate", RATE, "--latencies", told)
        _locust(path, port, *options)
        document = json.loads(told.read_text())
        row = document["rows"]["GET /"]["from_intended"]
        ours = {name: row[f"{name}_ms"] for name in ("p50", "p90", "p95", "p99")}
        found["with_arrivals"] = {**ours, "per_second": document["steps"][0]["achieved_rate"]}
        server.kill()
    off = {
        kind: {name: round(found[kind][name] / found["truth"][name], 3) for name in ("p90", "p95", "p99", "per_second")}
        for kind in ("locust_alone", "with_arrivals")
    }
    return {
        "command": ["nox", "-s", "evidence", "--", "FOLDER", "stall"],
        "rate": RATE,
        "seconds": SECONDS,
        "milliseconds": found,
        "result": {"of_the_truth": off},
    }


def _locust(path: Path | str, port: int, *options: object, code: int = 0) -> str:
    done = subprocess.run(_command(path, port, *options), capture_output=True, text=True, check=False)
    if done.returncode != code:
        raise RuntimeError(f"Locust ended with {done.returncode}: {done.stderr[-3000:]}")
    return done.stderr


def _command(path: Path | str, port: int, *options: object) -> list[str]:
    host = f"http://127.0.0.1:{port}"
    return [*map(str, ["locust", "-f", path, "--headless", "--only-summary", "--host", host, *options])]


@contextmanager
def _mimo(data: Path, *options: str) -> Iterator[tuple[int, int]]:
    """A reference server: its process id and its port."""
    with tempfile.TemporaryFile("w+") as said:
        command = ["mimo-server", "--http", "127.0.0.1:0", "--data", str(data), *options]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        try:
            while not (found := re.search(r"127\.0\.0\.1:(\d+)/mcp", os.pread(said.fileno(), 1 << 20, 0).decode())):
                if process.poll() is not None:
                    raise RuntimeError("the server did not start")
                time.sleep(0.05)
            yield process.pid, int(found[1])
        finally:
            process.terminate()
            process.wait(60)


def _knee(folder: Path) -> dict[str, Any]:
    del folder
    with tempfile.TemporaryDirectory() as temporary, _mimo(_STORE, "--dimensions", "1536") as (pid, port):
        told = Path(temporary)
        begun = time.monotonic()
        _locust(_SCENARIOS / "fill.py", port, "-u", 3, "-r", 3, *_SIZE, "--verify-every", 50)
        filled = time.monotonic() - begun
        steps = _stairs(port, told / "stairs.json")
        knee = max((one["rate"] for one in steps if one.get("meets")), default=0.0)
        if not knee:
            raise RuntimeError(f"no step met the limit: {steps}")
        rate = round(SHARE * knee, 1)
        searched, watched = _searched(pid, port, rate, told)
    shutil.rmtree(_STORE)
    (step,) = searched["steps"]
    return {
        "command": ["nox", "-s", "evidence", "--", "FOLDER", "knee-1m"],
        "memories": MILLION,
        "fill_seconds": round(filled, 1),
        "stairs": steps,
        "stairs_p99_ms": P99_MS,
        "search": searched,
        "watch": watched,
        "result": {
            "knee_per_second": knee,
            "rate": rate,
            "seconds": SEARCH_SECONDS,
            "operations": step["ended"],
            **{name: step[name] for name in ("failed", "late", "p50_ms", "p99_ms")},
            "verdict": watched["verdict"],
        },
    }


def _stairs(port: int, told: Path) -> list[dict[str, Any]]:
    """The steps of a staircase of searches."""
    both = f"{_SCENARIOS / 'search.py'},{_SHAPES / 'staircase.py'}"
    stairs = ("--arrival-rate", 120, "--stairs", 8, "--stairs-seconds", 20, "--stairs-p99", P99_MS)
    _locust(both, port, "-u", 100, *_SIZE, *stairs, "--latencies", told)
    steps: list[dict[str, Any]] = json.loads(told.read_text())["steps"]
    return steps


def _searched(pid: int, port: int, rate: float, told: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Search at a rate while a watch looks on, from before the load to its end: what each said."""
    command = ["leakcheck", "watch", str(pid), "--for", f"{SEARCH_SECONDS}s", "--out", str(told / "watch")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as watching:
        options = ("--arrival-rate", rate, "-t", f"{SEARCH_SECONDS}s", "--latencies", told / "search.json")
        _locust(_SCENARIOS / "search.py", port, "-u", 100, "-r", 100, *_SIZE, *options)
        code = watching.wait()
    audit = json.loads((told / "watch" / "audit.json").read_text())
    watched = {
        "exit_code": code,
        "verdict": audit["verdict"],
        "rounds": len(audit["rounds"]),
        "findings": [
            {name: one[name] for name in ("resource", "verdict", "evidence", "detectable")} for one in audit["findings"]
        ],
    }
    return json.loads((told / "search.json").read_text()), watched


def _soak(folder: Path) -> dict[str, Any]:
    del folder
    with tempfile.TemporaryDirectory() as temporary, _mimo(Path(temporary, "data")) as (_, port):
        told = Path(temporary, "latencies.json")
        both = f"{_SCENARIOS / 'soak.py'},{_SHAPES / 'soak.py'}"
        options = ("-u", 20, "--arrival-rate", 20, "--soak-hours", SOAK_SECONDS / 3600, "--latencies", told)
        code, kib = _remembered(_command(both, port, *options))
        steps = json.loads(told.read_text())["steps"]
    half = kib[len(kib) // 2 :]
    return {
        "command": ["nox", "-s", "evidence", "--", "FOLDER", "soak"],
        "exit_code": code,
        "seconds": SOAK_SECONDS,
        "operations": sum(step["ended"] for step in steps),
        "failed": sum(step["failed"] for step in steps),
        "anonymous_kib_each_half_minute": kib,
        "result": {
            "first_mib": round(kib[0] / 1024, 1),
            "last_mib": round(kib[-1] / 1024, 1),
            "growth_of_the_second_half_kib": half[-1] - half[0],
        },
    }


def _remembered(command: list[str]) -> tuple[int, list[int]]:
    """Exit code of a load, and its own memory: anonymous PSS of its process each half minute, in KiB."""
    kib: list[int] = []
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said) as load,
    ):
        until = time.monotonic()
        while load.poll() is None:
            until += 30
            while time.monotonic() < until and load.poll() is None:
                time.sleep(0.5)
            rollup = Path(f"/proc/{load.pid}/smaps_rollup")
            if load.poll() is None and (found := re.search(r"^Pss_Anon: +(\d+)", rollup.read_text(), re.MULTILINE)):
                kib.append(int(found[1]))
        if load.returncode:
            print(os.pread(said.fileno(), 1 << 20, 0).decode()[-5000:])
    return load.returncode, kib


ITEMS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "client": _client,
    "stall": _stall,
    "knee-1m": _knee,
    "soak": _soak,
}


def figures(folder: Path) -> dict[str, Any]:
    """Return what each item measured."""
    found = {}
    for name in ITEMS:
        if (path := folder / f"{name}.json").exists():
            document = json.loads(without_paths(path.read_text(), tempfile.gettempdir()))
            found[name.replace("-", "_")] = {key: value for key, value in document.items() if key not in _LEFT_OUT}
    return found
