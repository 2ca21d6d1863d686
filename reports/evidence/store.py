"""The reference server killed again and again under mixed load: what it acknowledged is there. And audited when large.

    nox -s evidence -- reports/<date>-store

`random` ends a server 200 times by SIGKILL at an instant that a seed draws, with eight calls of mixed kinds on their
way over MCP. The list of what was acknowledged is kept here, outside the server. `ready-100k` kills one that has
100,000 memories, and times its next start. `churn-100k` audits one that large: it stores and forgets all the time.
"""

from __future__ import annotations

import json
import random
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from measuring import audit

LIVES = 200
_IN_FLIGHT = 8
_SEED = 20261127
_CHURNED = 120_000


@dataclass(slots=True)
class Acknowledged:
    """What callers were told, over all lives."""

    stored: set[int] = field(default_factory=set)
    forgotten: set[int] = field(default_factory=set)
    doubted: set[int] = field(default_factory=set)
    """Asked to be forgotten, and never answered."""
    searches: int = 0
    refused: int = 0


class Life:
    """One server process over stdio, from its start to its end."""

    def __init__(self, data: Path, told: Acknowledged, chance: random.Random) -> None:
        self.told, self.chance = told, chance
        self.asked: dict[int, tuple[str, Mapping[str, Any]]] = {}
        self.number = 0
        self.room = threading.Semaphore(_IN_FLIGHT)
        begun = time.monotonic()
        self.process = subprocess.Popen(
            ["mimo-server", "--data", str(data)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        opening = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "kills", "version": "1"}}
        self._write({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": opening})
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise RuntimeError("the server did not start")
        self.ready_seconds = time.monotonic() - begun
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self.listener = threading.Thread(target=self._listen)
        self.listener.start()

    def _write(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.endswith(b"\n"):  # the last one may be cut
                self._heard(json.loads(line))

    def _heard(self, message: Mapping[str, Any]) -> None:
        if "id" not in message:
            return
        name, arguments = self.asked.pop(message["id"])
        self.room.release()
        result = message.get("result", {})
        if result.get("isError", True):
            self.told.refused += 1
            return
        answer = result["structuredContent"]
        if name == "memory_forget":
            self.told.doubted.discard(arguments["id"])
            self.told.forgotten.add(arguments["id"])
        elif name == "memory_store":
            self.told.stored.add(answer["id"])
        elif name == "memory_store_many":
            self.told.stored.update(answer["ids"])
        else:
            self.told.searches += 1

    def work(self, seconds: float) -> None:
        """Keep eight calls on their way for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if not self.room.acquire(timeout=0.1):
                continue
            name, arguments = self._drawn()
            self.number += 1
            self.asked[self.number] = name, arguments
            call = {"name": name, "arguments": arguments}
            self._write({"jsonrpc": "2.0", "id": self.number, "method": "tools/call", "params": call})

    def _drawn(self) -> tuple[str, dict[str, Any]]:
        kind = self.chance.random()
        text = f"note {self.chance.randrange(1 << 40)} of something that was said"
        if kind < 0.35:
            return "memory_store", {"content": text}
        if kind < 0.45:
            return "memory_store_many", {"memories": [{"content": f"{text} {number}"} for number in range(20)]}
        alive = list(self.told.stored - self.told.forgotten - self.told.doubted)
        if kind < 0.65 and alive:
            gone = self.chance.choice(alive)
            self.told.doubted.add(gone)
            return "memory_forget", {"id": gone}
        return "memory_search", {"query": text, "limit": 5}

    def kill(self) -> int:
        """End it at once; how many processes it left."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        self.listener.join()
        _, alive = psutil.wait_procs(family, timeout=5)
        return len(alive)


def _random(folder: Path) -> dict[str, Any]:  # noqa: ARG001 -- every item has it
    told, ready, left, wrong = Acknowledged(), [], 0, []
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        for life in range(LIVES):
            chance = random.Random(_SEED + life)
            server = Life(data, told, chance)
            ready.append(server.ready_seconds)
            server.work(chance.uniform(0.02, 1.5))
            left += server.kill()
            found = _fsck(data)
            if found["verdict"] == "damaged" or not _agrees(data, told):
                wrong.append(life)
        last = Life(data, told, random.Random(0))
        last.work(0.2)
        assert last.process.stdin is not None
        last.process.stdin.close()
        last.process.wait(30)
        last.listener.join()
        sound = _fsck(data)
    return {
        "command": ["mimo-server", "--data", "DATA"],
        "seed": _SEED,
        "lives": LIVES,
        "acknowledged_stored": len(told.stored),
        "acknowledged_forgotten": len(told.forgotten),
        "searches": told.searches,
        "refused": told.refused,
        "wrong_lives": wrong,
        "processes_left": left,
        "at_the_end": sound["verdict"],
        "median_ready_seconds": round(median(ready), 2),
        "result": f"{LIVES - len(wrong)} of {LIVES} lives kept all that was acknowledged",
    }


def _fsck(data: Path) -> dict[str, Any]:
    done = subprocess.run(["mimo-server", "fsck", str(data), "--json"], capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _agrees(data: Path, told: Acknowledged) -> bool:
    """Whether all that was stored is there, and nothing that was forgotten; what was doubted is settled by it."""
    database = sqlite3.connect(f"file:{data}/memories.sqlite3?mode=ro", uri=True)
    there = {row[0] for row in database.execute("SELECT id FROM engrams")}
    database.close()
    right = told.stored - told.forgotten - told.doubted <= there and not told.forgotten & there
    told.forgotten |= told.doubted - there
    told.doubted = set()
    return right


def _ready(folder: Path) -> dict[str, Any]:  # noqa: ARG001 -- every item has it
    seconds = []
    with tempfile.TemporaryDirectory() as temporary:
        data = Path(temporary)
        _seed(data, 100_000)
        for life in range(5):
            server = Life(data, Acknowledged(), random.Random(life))
            seconds.append(server.ready_seconds)
            server.work(0.5)
            server.kill()
    return {
        "command": ["mimo-server", "--data", "DATA"],
        "memories": 100_000,
        "ready_seconds": [round(one, 2) for one in seconds],
        "most_ready_seconds": round(max(seconds), 2),
        "result": f"ready within {max(seconds):.2f} s",
    }


def _seed(data: Path, count: int) -> None:
    command = ["mimo-server", "--data", str(data), "--seed-memories", str(count)]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True, capture_output=True)


def _churn(folder: Path) -> dict[str, Any]:
    """Audit a server of 100,000 memories; only the session is not played, since no second copy may have its folder."""
    with tempfile.TemporaryDirectory() as temporary:
        _seed(Path(temporary), _CHURNED)  # a sixth of them are facts, which the first round forgets
        found = audit(
            *("--budget", "2m", "--name", "100,000 memories", "--mcp", "stdio"),
            *("--metrics", "http://127.0.0.1:{port}/metrics"),
            *("--skip", "call:memory_get"),  # memory 1 is forgotten
            *("--tool", "memory_store", "--undo", 'memory_forget={"category": "fact"}'),
            *("--", "mimo-server", "--data", temporary, "--metrics-port", "{port}"),
        )(folder)
        kept: dict[str, Any] = json.loads(json.dumps(found).replace(temporary, "DATA"))
        return {**kept, "seeded": _CHURNED}


ITEMS: dict[str, Callable[[Path], dict[str, Any]]] = {"random": _random, "ready-100k": _ready, "churn-100k": _churn}


_LEFT_OUT = frozenset({"commit", "at", "machine", "command", "findings", "tool", "server", "warnings"})


def figures(folder: Path) -> dict[str, Any]:
    """Return what each item measured, without where and how; of the audit what it would have seen of each resource."""
    found = {}
    for name in ITEMS:
        path = folder / f"{name}.json"
        if path.exists():
            document = json.loads(path.read_text())
            found[name.replace("-", "_")] = {key: value for key, value in document.items() if key not in _LEFT_OUT}
            found[name.replace("-", "_")]["would_have_seen"] = {
                one["resource"].replace(".", "_"): float(f"{one['detectable']['value']:.3g}")
                for one in document.get("findings", ())
                if one["detectable"]
            }
    return found
