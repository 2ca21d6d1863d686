"""What the agent inside a Python process costs: CPU time of the program's work, its start, and the pauses of a look.

    python reports/evidence/inside.py FOLDER                    writes FOLDER/inside.json
    python reports/evidence/inside.py FOLDER --pairs 2 --starts 3 --asks 2

Work is played in pairs, without and with the agent, in alternating order, on one core and always the same amount; a
ratio is taken within a pair, and its interval is a percentile bootstrap over the pairs. No floor is asked meanwhile.
Pauses are what the agent says of itself, and the longest time in which the program, which otherwise waits half a
millisecond at a time, did not come round; `gap_unasked_ms` is that of the same time without a question.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any, TypeVar

from measuring import where

from leakcheck.targets import reaching

OBJECTS = (10_000, 100_000, 1_000_000)
CENSUS_SECONDS = 0.5
Found = TypeVar("Found")
_PROGRAMS = str(Path(__file__).with_name("inside_programs.py"))
_RESAMPLES = 10_000
_PATIENCE_SECONDS = 30.0
_MOST_SECONDS = 600.0  # of one run of the work: past that something is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much is measured."""

    pairs: int = 24
    seconds: float = 1.2
    """Of CPU time that one run of the work takes, about."""
    starts: int = 60
    asks: int = 10


def inside(folder: Path, amount: Amount | None = None) -> dict[str, Any]:
    """Measure all parts. Each is kept beside the result until all are there: what was interrupted goes on."""
    kept, amount = folder / "inside.parts", amount or Amount()
    document: dict[str, Any] = {
        "command": [
            *("python", "reports/evidence/inside.py", "FOLDER"),
            *("--pairs", str(amount.pairs), "--seconds", str(amount.seconds)),
            *("--starts", str(amount.starts), "--asks", str(amount.asks)),
        ],
        "result": {},
    }
    if kept.exists():
        before = json.loads(kept.read_text())
        if before["command"] != document["command"]:
            raise SystemExit(f"{kept} was measured with other amounts: {' '.join(before['command'])}; move it away")
        document = before
    for name, measure in _parts(amount).items():
        if name not in document["result"]:
            print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
            document["result"][name] = {**measure(), "load_1min": os.getloadavg()[0]}
            part = kept.with_name(f"{kept.name}.new")
            part.write_text(json.dumps(document, indent=1) + "\n")
            part.replace(kept)
    kept.unlink(missing_ok=True)
    return document


def _parts(amount: Amount) -> dict[str, Callable[[], dict[str, Any]]]:
    return {
        "cpu_loop": lambda: _work("loop", amount),
        "cpu_asyncio_json": lambda: _work("asyncio_json", amount),
        "start": lambda: _start(amount.starts),
        **{f"pauses_{objects}": partial(_pauses, objects, amount.asks) for objects in OBJECTS},
    }


# Paired runs


def _work(kind: str, amount: Amount) -> dict[str, Any]:
    """CPU time of the process, the agent's thread included, for the same number of turns."""
    with _agent() as environment, _one_core():
        turns = _turns(kind, amount.seconds)

        pairs = _paired(lambda: _ran(kind, turns, None), lambda: _ran(kind, turns, environment), amount.pairs)
    ratios = [inside / bare for bare, inside in pairs]
    low, high = _interval([math.log(ratio) for ratio in ratios])
    return {
        "turns": turns,
        "pairs": len(pairs),
        "cpu_s_without": round(median(bare for bare, _ in pairs), 4),
        "cpu_s_with": round(median(inside for _, inside in pairs), 4),
        "ratio": round(math.exp(mean(map(math.log, ratios))), 5),
        "ratio_low_95": round(math.exp(low), 5),
        "ratio_high_95": round(math.exp(high), 5),
        "ratios": [round(ratio, 5) for ratio in ratios],
    }


def _start(pairs: int) -> dict[str, Any]:
    """Milliseconds from starting `python -c pass` to its end. The very first start compiles the agent: told apart."""
    with _agent() as environment, _one_core():
        first = _started(environment)[0]
        _started(None)
        both = _paired(lambda: _started(None), lambda: _started(environment), pairs)
    found: dict[str, Any] = {"pairs": len(both), "first_wall_ms": round(first, 2)}
    for index, name in enumerate(("wall_ms", "cpu_ms")):
        more = [inside[index] - bare[index] for bare, inside in both]
        low, high = _interval(more)
        found[name] = {
            "without": round(median(bare[index] for bare, _ in both), 2),
            "with": round(median(inside[index] for _, inside in both), 2),
            "more": round(mean(more), 3),
            "more_median": round(median(more), 3),
            "more_low_95": round(low, 3),
            "more_high_95": round(high, 3),
        }
    return found


def _paired(first: Callable[[], Found], second: Callable[[], Found], pairs: int) -> list[tuple[Found, Found]]:
    """Run both in turn; every other pair begins with the second."""
    found = []
    for number in range(pairs):
        swapped = second() if number % 2 else None
        one = first()
        found.append((one, second() if swapped is None else swapped))
    return found


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """95 % of the mean: percentile bootstrap (Efron 1979), the same resamples each time."""
    draw = random.Random(1)
    means = sorted(mean(draw.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    return means[round(0.025 * _RESAMPLES)], means[round(0.975 * _RESAMPLES) - 1]


def _turns(kind: str, seconds: float) -> int:
    """How many turns of the work take so long without the agent."""
    turns, took = 1, 0.0
    while (took := _ran(kind, turns, None)) < min(0.3, seconds):
        turns *= 4
    return math.ceil(turns * seconds / took)


def _ran(kind: str, turns: int, environment: dict[str, str] | None) -> float:
    """Seconds of CPU time that the work took, as the process itself tells."""
    command = [sys.executable, "-P", _PROGRAMS, kind, str(turns)]
    done = subprocess.run(
        command, env=_environment(environment), capture_output=True, check=True, timeout=_MOST_SECONDS
    )
    cpu, threads = done.stdout.split()
    if int(threads) != 1 + (environment is not None):
        raise RuntimeError(
            f"{int(threads)} threads: an agent where there should be none, or none where there should be"
        )
    return float(cpu)


def _started(environment: dict[str, str] | None) -> tuple[float, float]:
    """Milliseconds on the clock, and of CPU time, of a process that does nothing."""
    given = _environment(environment)
    begun = time.perf_counter()
    _, status, used = os.wait4(os.posix_spawn(sys.executable, [sys.executable, "-c", "pass"], given), 0)
    took = time.perf_counter() - begun
    if status:
        raise RuntimeError(f"`python -c pass` ended with status {status}")
    return 1e3 * took, 1e3 * (used.ru_utime + used.ru_stime)


# The agent, and the questions


def _environment(more: dict[str, str] | None) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | (more or {})


@contextmanager
def _agent() -> Iterator[dict[str, str]]:
    """The variables that bring the agent in, as `leakcheck audit` sets them, with a folder for it."""
    with tempfile.TemporaryDirectory(prefix="lc-") as folder:
        yield reaching.environment(Path(folder), _environment(None))


@contextmanager
def _one_core() -> Iterator[None]:
    """Have what is started meanwhile run on one core: moving between cores costs more than an agent."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _pauses(objects: int, asks: int) -> dict[str, Any]:
    """Milliseconds of each question, after one that is not counted: the first one loads what a floor needs."""
    found: dict[str, Any] = {}
    with _agent() as environment, _program(environment, objects) as process:
        found["objects"] = _ask(environment, process.pid, CENSUS_SECONDS)["objects"]
        for name, census in (("floor", 0.0), ("census", CENSUS_SECONDS)):
            agent, gaps, unasked, complete = [], [], [], []
            for _ in range(asks):
                _gap(process)
                begun = time.perf_counter()
                answer = _ask(environment, process.pid, census)
                took = time.perf_counter() - begun
                gaps.append(_gap(process))
                time.sleep(took)  # the same time without a question, to compare with
                unasked.append(_gap(process))
                pauses = answer["pauses"]
                agent.append(1e3 * (pauses["census"] if census else sum(pauses.values())))
                complete.append(census == 0 or answer["census"]["complete"])
            told = {"agent_ms": agent, "gap_ms": gaps, "gap_unasked_ms": unasked}
            found[name] = {
                **{key: {"median": round(median(ms), 2), "worst": round(max(ms), 2)} for key, ms in told.items()},
                "complete": sum(complete),
                "asks": asks,
            }
    return found


def _gap(process: subprocess.Popen[str]) -> float:
    """Milliseconds that the program was longest away since it was last asked this."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def _ask(environment: dict[str, str], pid: int, census: float) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(_PATIENCE_SECONDS)
        asker.connect(f"{environment['LEAKCHECK_AGENT']}/{pid}.sock")
        asker.sendall(json.dumps({"ask": "floor", "census": census}).encode() + b"\n")
        read = bytearray()
        while part := asker.recv(1 << 16):
            read += part
    answer: dict[str, Any] = json.loads(read)
    if answer.get("problem"):
        raise RuntimeError(f"the agent says: {answer['problem']}")
    return answer


@contextmanager
def _program(environment: dict[str, str], objects: int) -> Iterator[subprocess.Popen[str]]:
    """One program that is up, until the block ends; it ends with its stdin."""
    command = [sys.executable, "-P", _PROGRAMS, "objects", str(objects)]
    given, pipe = _environment(environment), subprocess.PIPE
    with subprocess.Popen(command, env=given, text=True, stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "the program did not come up"
            yield process
        except BaseException:
            process.kill()
            raise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    default = Amount()
    parser.add_argument("--pairs", type=int, default=default.pairs)
    parser.add_argument("--seconds", type=float, default=default.seconds, help="of CPU time of one run of the work")
    parser.add_argument("--starts", type=int, default=default.starts, help="pairs of them")
    parser.add_argument("--asks", type=int, default=default.asks)
    wanted = parser.parse_args()
    path = wanted.folder / "inside.json"
    if path.exists():
        parser.error(f"{path} is there and whole; move it away to measure again")
    amount = Amount(pairs=wanted.pairs, seconds=wanted.seconds, starts=wanted.starts, asks=wanted.asks)
    document = {"item": "inside", **inside(wanted.folder, amount), **where()}
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document, indent=1))


ITEMS = {"inside": inside}

if __name__ == "__main__":
    main()
