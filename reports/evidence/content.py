"""Answers under load: many users at once, each answer checked to be the user's own; afterwards nothing is left."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import psutil

SCENARIOS = ("memories", "skills", "tools", "procedures", "agents")
SECONDS = 300
USERS = 50
WARM_SHARE = 0.1
"""So long, in proportion, the same load runs before the first floor: pools and caches are as large then as they get."""
IDLE_SECONDS = 1
"""After which a skill process that has nothing to do is ended: with none the floor is the same each time."""
FLOOR_SECONDS = 3
START_SECONDS = 30
BACK_SECONDS = 60
STAYS = frozenset({"executions_kept"})
"""A ring of the last runs, kept for an hour on purpose: full or not, it is no floor. Its limit is checked."""
_PROMPT = ("tools/call memory_search", "tools/call memory_store", "tools/call skill_echo")
"""Calls whose latency is told: the slowest of these. Others wait on purpose."""
_ENTRIES = re.compile(r'^mimo_registry_(entries|limit)\{registry="([^"]+)"\} (\S+)$', re.MULTILINE)
_TASKS = re.compile(r"^mimo_tasks (\S+)$", re.MULTILINE)


def content(
    folder: Path, *, seconds: float = SECONDS, users: int = USERS, answer_seconds: float = 5.0
) -> dict[str, object]:
    """Play the scenarios; count rounds, wrong answers and refusals; compare the floors before and after."""
    del folder
    with tempfile.TemporaryDirectory() as temporary, _server(Path(temporary), answer_seconds) as server:
        _play(server, Path(temporary, "warm"), max(2.0, WARM_SHARE * seconds), users, answer_seconds)
        before, _ = _floor(server)
        code = _play(server, Path(temporary, "load"), seconds, users, answer_seconds)
        after, took = _floor(server, before)
        rows = _rows(Path(temporary, "load"))
        failures = _failures(Path(temporary, "load"))
    rounds, busy = rows.pop("ROUND", {}), rows.pop("BUSY", {})
    requests = {name: row for kind in rows.values() for name, row in kind.items()}
    called = sum(row["count"] for name, row in requests.items() if name.startswith("tools/call"))
    refused = sum(row["count"] for row in busy.values())
    over = {name: [low, after[name]] for name, low in before.items() if after[name] > low}
    return {
        "command": ["locust", "-f", ",".join(SCENARIOS), "--headless", "-u", str(users), "-t", f"{seconds:g}s"],
        "exit_code": code,
        "rounds": rounds,
        "requests": requests,
        "busy": {name: row["count"] for name, row in busy.items()},
        "failures": failures,
        "floor": {"before": before, "after": after, "back_after_seconds": round(took, 1)},
        "result": {
            "users": users,
            "seconds": seconds,
            "rounds": sum(row["count"] for row in rounds.values()),
            "calls": called,
            "failed": sum(row["failures"] for row in rounds.values()),
            "busy_percent": round(100 * refused / max(1, called), 3),
            "p50_ms": max((row["p50_ms"] for name, row in requests.items() if name in _PROMPT), default=None),
            "p99_ms": max((row["p99_ms"] for name, row in requests.items() if name in _PROMPT), default=None),
            "above_the_floor": over,
        },
    }


@contextmanager
def _server(folder: Path, answer_seconds: float) -> Iterator[psutil.Process]:
    """The reference server with its own skill, whose times are ours; `.url` is where it listens."""
    command = [
        *("mimo-server", "--http", "127.0.0.1:0", "--skills", str(catalog(folder, answer_seconds, IDLE_SECONDS))),
        *("--data", str(folder / "data")),
    ]
    log = folder / "log"
    with log.open("w") as file, psutil.Popen(command, stderr=file, stdout=subprocess.DEVNULL) as server:
        try:
            server.url = until_listening(server, log)
            yield server
        finally:
            server.terminate()
            server.wait(30)


def until_listening(process: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until a server that logs into this file listens; return where. Raises RuntimeError when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while not (found := re.search(r"MCP on (http://[^/]+)", log.read_text())):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the server does not listen; it says: {log.read_text()[-2000:]}")
        time.sleep(0.05)
    return found[1]


def catalog(folder: Path, answer_seconds: float, idle_seconds: float) -> Path:
    """Write a catalog with the skill that comes along, and other times."""
    program = Path(find_spec("mimo_server").origin).parent / "skills" / "echo.py"
    skill = {
        "command": [sys.executable, "-I", "-S", str(program)],
        "answer_seconds": answer_seconds,
        "idle_seconds": idle_seconds,
    }
    path = folder / "skills.json"
    path.write_text(json.dumps({"skills": {"skill": skill}}))
    subprocess.run(["mimo-server", "skills", path], check=True)  # which writes down its tools
    return path


def _play(server: psutil.Process, folder: Path, seconds: float, users: int, answer_seconds: float) -> int:
    """Play all scenarios at once; return Locust's exit code, which is 1 when an answer was wrong."""
    folder.mkdir()
    scenarios = Path(find_spec("loadtests").origin).parent / "scenarios"
    command = [
        *("locust", "-f", ",".join(str(scenarios / f"{name}.py") for name in SCENARIOS), "--host", server.url),
        *("--headless", "-u", str(users), "-r", str(users), "-t", f"{seconds:g}s", "--only-summary"),
        *("--json-file", "stats", "--csv", "stats", "--answer-seconds", str(answer_seconds)),
    ]
    played = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if not (folder / "stats.json").exists():
        raise RuntimeError(f"locust ended with {played.returncode} and no statistics: {played.stderr[-2000:]}")
    return played.returncode


def _floor(server: psutil.Process, before: Mapping[str, int] | None = None) -> tuple[dict[str, int], float]:
    """The least that each reading was: until all were as low as `before`, or without it for a few seconds at rest."""
    begun, least, rest = time.monotonic(), _read(server), None
    while True:
        now = _read(server)
        least = {name: min(now[name], least.get(name, now[name])) for name in now}
        took = time.monotonic() - begun
        if rest is None and not now["children"]:
            rest = took
        back = rest is not None and took > rest + FLOOR_SECONDS
        if before is not None:
            back = all(least[name] <= low for name, low in before.items())
        if back or took > BACK_SECONDS:
            return least, took
        time.sleep(0.25)


def _read(server: psutil.Process) -> dict[str, int]:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    found = {(kind, name): int(float(value)) for kind, name, value in _ENTRIES.findall(page)}
    for name in STAYS:
        if found["entries", name] > found["limit", name]:
            raise RuntimeError(f"{name} has {found['entries', name]} entries, above its limit")
    return {
        "fds": server.num_fds(),
        "children": len(server.children(recursive=True)),
        "tasks": int(float(_TASKS.search(page)[1])),
        **{f"registry {name}": size for (kind, name), size in found.items() if kind == "entries" and name not in STAYS},
    }


def _rows(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Locust's statistics, by kind of row and name."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for line in json.loads((folder / "stats.json").read_text()):
        found.setdefault(line["method"], {})[line["name"]] = {
            "count": line["num_requests"],
            "failures": line["num_failures"],
            "p50_ms": _percentile(line["response_times"], 0.5),
            "p99_ms": _percentile(line["response_times"], 0.99),
        }
    return found


def _percentile(counts: Mapping[str, int], share: float) -> float:
    wanted, seen = share * sum(counts.values()), 0
    for milliseconds, count in sorted((float(key), count) for key, count in counts.items()):
        seen += count
        if seen >= wanted:
            return milliseconds
    return 0.0


def _failures(folder: Path) -> list[str]:
    """What was wrong, in words."""
    with (folder / "stats_failures.csv").open() as file:
        told = [f"{row['Name']}: {row['Error']} (x{row['Occurrences']})" for row in csv.DictReader(file)]
    with (folder / "stats_exceptions.csv").open() as file:
        return told + [f"{row['Message']} (x{row['Count']})" for row in csv.DictReader(file)]
