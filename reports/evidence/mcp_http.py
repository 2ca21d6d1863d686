"""What the toolkit claims of MCP over HTTP, of abandoned sessions, and of watching without driving."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import third_party
from measuring import audit

URL = "http://127.0.0.1:{port}/mcp"
MIMO = ("mimo-server", "--http", "127.0.0.1:{port}")
METRICS = ("--metrics", "http://127.0.0.1:{port}/metrics")
IDLE = ("--session-idle", "5s")
CLEAN_RUNS = 5
LEAKS = {
    "kept_session": ('metric.mimo_registry_entries{registry="sessions"}', "session@2025-11-25"),
    "kept_rejects": ("fds.file", "reject"),
    "orphan_child": ("processes", "call:skill_echo"),
    "open_connections": ("fds.socket", "call:agent_ping"),
    "growing_registry": ('metric.mimo_registry_entries{registry="interrupts"}', "call:interrupt_check"),
}
"""Each defect: the resource that must be called a leak, and the operation that it must be put down to."""
WATCH_SECONDS = 600
EVERY = ("--every", "1s")
"""Then 240 floors, the most that are kept, are reached after four minutes, and memory must be level from there on."""
ENDING = 20
"""Seconds before the end: there it writes its report, which takes memory of its own."""
WATCHED = {
    "python": ["python", "-m", "http.server", "--bind", "127.0.0.1", "0"],
    "node": ["node", "-e", "setInterval(() => Buffer.alloc(1000), 50)"],
    "pipeline": ["sh", "-c", "while sleep 0.2; do date; done | tee /dev/null | grep -c nothing"],
}
"""Processes of three kinds: one that waits, one that allocates, and a pipeline whose children come and go."""


def _mimo(*server: str, before: tuple[str, ...] = IDLE, keep: str | None = None) -> Callable[[Path], dict[str, object]]:
    return audit("--mcp", URL, *METRICS, *before, "--", *MIMO, *server, keep=keep)


def _watch(folder: Path) -> dict[str, object]:
    """Watch three processes at once; read the watchers' own memory and CPU time from outside."""
    del folder
    with tempfile.TemporaryDirectory() as temporary:
        targets = {
            name: subprocess.Popen(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
            )
            for name, command in WATCHED.items()
        }
        watchers = {
            name: subprocess.Popen(
                [
                    *("leakcheck", "watch", str(target.pid), "--for", f"{WATCH_SECONDS}s", *EVERY),
                    *("--out", f"{temporary}/{name}", "--serve", "127.0.0.1:0"),
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for name, target in targets.items()
        }
        try:
            sampled = _sampled(watchers)
            codes = {name: watcher.wait() for name, watcher in watchers.items()}
        finally:
            for target in targets.values():
                os.killpg(target.pid, signal.SIGTERM)
                target.wait()
        audits = {name: json.loads(Path(temporary, name, "audit.json").read_text()) for name in WATCHED}
        journals = {name: Path(temporary, name, "journal.jsonl").stat().st_size for name in WATCHED}
    return {
        "command": ["leakcheck", "watch", "PID", "--for", f"{WATCH_SECONDS}s", *EVERY, "--serve", "127.0.0.1:0"],
        "targets": WATCHED,
        "memory_mib_by_minute": {
            name: [round(one["rss"] / 2**20, 1) for one in samples[::6]] for name, samples in sampled.items()
        },
        "result": {
            name: {
                "exit_code": codes[name],
                "verdict": audits[name]["verdict"],
                "floors": len(audits[name]["rounds"]),
                "journal_kib": round(journals[name] / 1024),
                "cpu_percent": round(100 * samples[-1]["cpu"] / samples[-1]["at"], 2),
                "rss_mib": round(_at(samples, WATCH_SECONDS - ENDING) / 2**20, 1),
                "grew_kib_since_minute_5": round(
                    (_at(samples, WATCH_SECONDS - ENDING) - _at(samples, WATCH_SECONDS / 2)) / 1024
                ),
            }
            for name, samples in sampled.items()
        },
    }


def _at(samples: list[dict[str, float]], seconds: float) -> float:
    return next(one["rss"] for one in samples if one["at"] >= seconds)


def _sampled(watchers: dict[str, subprocess.Popen[bytes]]) -> dict[str, list[dict[str, float]]]:
    """RSS and CPU seconds of each watcher every ten seconds, until one of them ends."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in watchers}
    begun, number = time.monotonic(), 0
    tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    while all(watcher.poll() is None for watcher in watchers.values()):
        number += 1
        while time.monotonic() < begun + 10 * number and all(one.poll() is None for one in watchers.values()):
            time.sleep(0.2)
        for name, watcher in watchers.items():
            if watcher.poll() is None:
                fields = Path(f"/proc/{watcher.pid}/stat").read_text().rpartition(")")[2].split()
                pages = int(Path(f"/proc/{watcher.pid}/statm").read_text().split()[1])
                cpu = (int(fields[11]) + int(fields[12])) / tick
                found[name].append({"at": time.monotonic() - begun, "rss": pages * page, "cpu": cpu})
    return found


def _saturated(folder: Path) -> dict[str, object]:
    """A locustfile that burns CPU in every task: the load is the bottleneck, and must be called one."""
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "burns.py"
        file.write_text(
            "from locust import FastHttpUser, task\n\n\n"
            "class Burns(FastHttpUser):\n"
            "    @task\n"
            "    def page(self):\n"
            "        sum(range(20_000_000))\n"
            "        self.client.get('/')\n"
        )
        document = audit(
            *("--locustfile", str(file), "--host", "http://127.0.0.1:{port}", "--operations", "200", "--rounds", "11"),
            *("--exclude", "memory"),
            *("--", "python", "-m", "http.server", "{port}"),
        )(folder)
    document["command"] = [part.replace(str(file), "burns.py") for part in document["command"]]
    return document


ITEMS: dict[str, Callable[[Path], dict[str, object]]] = {
    "clean-1": _mimo("--session-idle", "5s", keep="clean"),
    **{f"defect-{name}": _mimo(*IDLE, "--defect", name, keep=name if "kept" in name else None) for name in LEAKS},
    "abandon-undeclared": _mimo(before=()),
    "abandon-outlives": _mimo("--session-idle", "30m"),
    **third_party.ITEMS,
    "saturated": _saturated,
    "watch": _watch,
    **{f"clean-{number}": _mimo("--session-idle", "5s") for number in range(2, CLEAN_RUNS + 1)},
}


def figures(folder: Path) -> dict[str, object]:
    """Sum up what is there."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json")) if path.stem in ITEMS}
    clean = [one for name, one in found.items() if name.startswith("clean-")]
    summed: dict[str, object] = {
        "clean_audits": len(clean),
        "clean_verdicts": {verdict: sum(one["verdict"] == verdict for one in clean) for verdict in ("clean", "leak")},
    }
    for name, (resource, operation) in LEAKS.items():
        if document := found.get(f"defect-{name}"):
            summed[name] = _put_down(document, resource, operation)
    for name in ("abandon-undeclared", "abandon-outlives"):
        if document := found.get(name):
            verdicts = {one["verdict"] for one in document["findings"] if one["operation"] == "abandon"}
            summed[name.replace("-", "_")] = ("leak" if "leak" in verdicts else verdicts.pop()).replace("_", " ")
    for name, one in found.items():
        if name.startswith("third-"):
            summed[name.replace("-", "_")] = one["verdict"].replace("_", " ")
    if document := found.get("saturated"):
        summed["saturated"] = {
            "verdict": document["verdict"],
            "load_percent": round(100 * document["tool"]["load_cpu_share"]),
            "achieved_percent": round(100 * document["tool"]["achieved_share"]),
        }
    if document := found.get("watch"):
        summed["watch"] = document["result"]
    shares = [
        one["tool"]["load_cpu_share"]
        for name, one in found.items()
        if name != "saturated" and one.get("tool", {}).get("load_cpu_share") is not None
    ]
    if shares:
        summed["load_percent_of_a_core"] = {"median": round(100 * median(shares)), "most": round(100 * max(shares))}
    third_party.write_table(folder, found)
    return summed


def _put_down(document: dict[str, object], resource: str, operation: str) -> dict[str, object]:
    """What was called a leak of this resource, at what rate, and how many leaks were put down to other operations."""
    leaks = [one for one in document["findings"] if one["verdict"] == "leak"]
    mine = next((one for one in leaks if one["resource"] == resource), None)
    return {
        "operation": mine["operation"] if mine else "not found",
        "rate": round(mine["rate"]["value"], 3) if mine else 0.0,
        "right": bool(mine) and mine["operation"] == operation,
        "put_down_to_others": sum(one["operation"] not in (operation, None) for one in leaks),
    }
