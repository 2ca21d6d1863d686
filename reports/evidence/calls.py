"""What a call of a tool costs over HTTP: our server beside a bare ASGI echo and the official SDK's smallest server.

All servers run at once and are played in turn, round after round, so that what else the machine does hits all alike;
a ratio is taken within a round, and the median of the rounds counts. Rates are this machine's; ratios travel.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import IO, Any

from calls_client import LEGACY, MODERN, Block, Client, Question

ROUNDS = 15
SECONDS = 0.9
"""Of one block: 180 of them, and a tenth more to warm each up, are three minutes."""
_PATIENCE_SECONDS = 30.0
_ADDRESS = re.compile(r"MCP on http://127\.0\.0\.1:(\d+)/mcp")
_SMALL = (sys.executable, str(Path(__file__).with_name("calls_servers.py")))
_MIMO = ("mimo-server", "--http", "127.0.0.1:0", "--seed-memories", "1000")


def _text(result: dict[str, Any]) -> str:
    return str(result["content"][0]["text"])


ECHO = Question(
    tool="echo", arguments=lambda n: {"text": f"call {n}"}, answered=lambda result, n: _text(result) == f"call {n}"
)
CHECK = Question(
    tool="interrupt_check",
    arguments=lambda n: {"reason": f"call {n}"},
    answered=lambda result, n: result["structuredContent"] == {"seen": True, "reason": f"call {n}"},
)
SEARCH = Question(
    tool="memory_search",
    arguments=lambda n: {"query": f"the build measured a new key before lunch {n}", "limit": 5},
    answered=lambda result, _: len(result["structuredContent"]["memories"]) == 5,
)
SKILL = Question(
    tool="skill_echo",
    arguments=lambda n: {"text": f"call {n}"},
    answered=lambda result, n: f"call {n}" in _text(result),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One server, asked one thing in one era of the protocol."""

    server: str
    command: tuple[str, ...]
    question: Question = ECHO
    era: str = MODERN


_SDK = tuple(Row(server=name, command=(*_SMALL, name)) for name in ("sdk_high", "sdk_low"))
_OURS = tuple(Row(server="mimo", command=_MIMO, question=one) for one in (CHECK, SEARCH, SKILL))
BARE = Row(server="bare", command=(*_SMALL, "bare"))
ROWS = (
    BARE,
    Row(server="bare_h11", command=(*_SMALL, "bare_h11")),
    *_SDK,
    *(replace(row, era=LEGACY) for row in _SDK),
    *_OURS,
    *(replace(row, era=LEGACY) for row in _OURS),
)


def calls(
    folder: Path, *, rows: Sequence[Row] = ROWS, rounds: int = ROUNDS, seconds: float = SECONDS
) -> dict[str, Any]:
    """Measure all rows; `ratio_to_` are of CPU time per call. Raises WrongAnswerError, for then nothing is known."""
    del folder
    blocks: dict[Row, list[Block]] = {row: [] for row in rows}
    with ExitStack() as stack:
        kept = stack.enter_context(cores())
        servers = {
            command: stack.enter_context(serving(command, kept[0]))
            for command in dict.fromkeys(row.command for row in rows)
        }
        clients = {row: Client(servers[row.command].port, row.era, row.question) for row in rows}
        for _ in range(rounds):
            for row in rows:
                blocks[row].append(clients[row].block(seconds, servers[row.command].pid))
        loops = {command: _loop(server.pid) for command, server in servers.items()}
    return {
        "command": ["nox", "-s", "evidence", "--", "FOLDER", "calls"],
        "cores": {"servers": sorted(kept[0]), "client": sorted(kept[1])},
        "rounds": rounds,
        "seconds": seconds,
        "result": [{**one, "loop": loops[row.command]} for row, one in zip(rows, _summed(blocks), strict=True)],
    }


def _summed(blocks: dict[Row, list[Block]]) -> list[dict[str, Any]]:
    """A row of figures for each; the SDK's best is the mode of it that takes the least CPU time, of any era."""
    sdk = [row for row in blocks if row.server.startswith("sdk")]
    best = min(sdk, key=lambda row: _cpu(blocks[row]), default=None)
    summed = []
    for row, own in blocks.items():
        one: dict[str, Any] = {"server": row.server, "tool": row.question.tool, "era": row.era}
        one["calls"] = sum(block.calls for block in own)
        one["cpu_us_per_call"] = round(_cpu(own), 1)
        one["calls_per_s"] = round(median(block.calls_per_s for block in own))
        one["p50_ms"] = round(median(block.p50_ms for block in own), 3)
        one["p99_ms"] = round(median(block.p99_ms for block in own), 3)
        one["client_busy"] = round(median(block.client_busy for block in own), 2)
        of_its_era = min((other for other in sdk if other.era == row.era), key=lambda o: _cpu(blocks[o]), default=None)
        for name, other in (("bare", BARE), ("sdk_best", best), ("sdk_best_of_era", of_its_era)):
            if other in blocks:
                one[f"ratio_to_{name}"] = _ratio(own, blocks[other])
        summed.append(one)
    return summed


def _cpu(blocks: list[Block]) -> float:
    return median(block.cpu_us_per_call for block in blocks)


def _ratio(own: list[Block], others: list[Block]) -> dict[str, float]:
    """Round by round."""
    ratios = [one.cpu_us_per_call / other.cpu_us_per_call for one, other in zip(own, others, strict=True)]
    return {"median": round(median(ratios), 3), "min": round(min(ratios), 3), "max": round(max(ratios), 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    pid: int
    port: int


@contextmanager
def serving(command: tuple[str, ...], cores: set[int]) -> Iterator[_Server]:
    """One server, with its children on these cores, until the block ends; stopped by SIGTERM, within its grace."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        try:
            os.sched_setaffinity(process.pid, cores)  # before it has a thread or a child: those inherit it
            yield _Server(pid=process.pid, port=_port(process, said))
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise


def _port(process: subprocess.Popen[bytes], said: IO[str]) -> int:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (found := _ADDRESS.search(text := _all(said))) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"no server within {_PATIENCE_SECONDS:g} s: {text[-2000:]}")
        time.sleep(0.05)
    return int(found[1])


def _all(said: IO[str]) -> str:
    """What the other process has written, by a position of our own: the file's is shared with it."""
    return os.pread(said.fileno(), 1 << 20, 0).decode(errors="replace")


def _loop(pid: int) -> str:
    """What it has loaded, not what it was told: both have a library of their own."""
    loaded = Path(f"/proc/{pid}/maps").read_text()
    return f"{'uvloop' if '/uvloop/' in loaded else 'asyncio'}, {'httptools' if '/httptools/' in loaded else 'h11'}"


@contextmanager
def cores() -> Iterator[tuple[set[int], set[int]]]:
    """A core for the servers and one for this client; with one core only, they share it."""
    allowed = os.sched_getaffinity(0)
    first, last = {min(allowed)}, {max(allowed)}
    os.sched_setaffinity(0, last)
    try:
        yield first, last
    finally:
        os.sched_setaffinity(0, allowed)


ITEMS = {"calls": calls}
