"""Every engine with every set, one process after the other, each on one core."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import groups
from hard import COUNT as HARD_COUNT
from hard import assert_hard
from one import SHARES, K
from sets import Set

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
"""All of them for the reference server, for how it grows; the others at three."""
_OF_OTHERS = frozenset({10_000, 100_000, 1_000_000})
_OURS = "mimo"
_KINDS = ("easy", "hard")
_NOT_KEPT = frozenset({"numpy_float32"})
"""Fills and searches in one process."""
_PATIENCE_S = 3600
"""Of one process: 15 minutes of adding, and what it needs to open and to search."""
_BESIDE_ANONYMOUS = 256 << 20
"""Bytes that a limited process may have beside its anonymous memory."""


def play(folder: Path, engines: Sequence[str], vectors: Path, most: int) -> int:
    """Measure what is left; returns 1 when something could not be measured."""
    folder.mkdir(parents=True, exist_ok=True)
    vectors.mkdir(parents=True, exist_ok=True)
    if most >= HARD_COUNT:
        assert_hard(folder, Set("hard", HARD_COUNT, vectors))
    failed = 0
    for kind, count, name in _left(folder, engines, most):
        sys.stderr.write(f"memory: {name}, {kind}, {count:,}\n")
        begun = time.monotonic()
        row = _row(name, kind, count, vectors)
        row["seconds"] = round(time.monotonic() - begun, 1)
        (folder / f"{name}-{kind}-{count}.json").write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
        failed |= "failed" in row
    return int(failed)


def _left(folder: Path, engines: Sequence[str], most: int) -> Iterator[tuple[str, int, str]]:
    """The server's own rows first, then the others' by size, of hard vectors before easy ones."""
    every = [
        (name != _OURS, count, kind != "hard", name)
        for count in SIZES
        for kind in _KINDS
        for name in engines
        if count <= most and (name == _OURS or count in _OF_OTHERS)
    ]
    for _, count, is_easy, name in sorted(every):
        kind = "easy" if is_easy else "hard"
        if not (folder / f"{name}-{kind}-{count}.json").exists():
            yield kind, count, name


def _row(name: str, kind: str, count: int, vectors: Path) -> dict[str, Any]:
    made = Set(kind, count, vectors)
    made.make()
    place, beside = (Path(tempfile.mkdtemp(prefix=f"{name}-", dir=vectors)) for _ in range(2))
    row: dict[str, Any] = {
        "engine": name,
        "kind": kind,
        "count": count,
        "command": f"python -P reports/memory run FOLDER {name}",
        "commit": _commit(),
        "machine": machine(),
        "parts": [],
    }
    try:
        row["parts"] = _process(name, kind, count, beside, "empty")
        if name in _NOT_KEPT:
            made.find(count, K, SHARES)
            row["parts"] += _process(name, kind, count, place, "both", str(count))
        else:
            row["parts"] += _process(name, kind, count, place, "fill")
            added = next(part["added"] for part in row["parts"] if part["part"] == "fill")
            row["disk_bytes"] = sum(one.stat().st_blocks * 512 for one in place.rglob("*") if one.is_file())
            made.find(added, K, SHARES)
            groups.forget_pages(place)
            row["parts"] += _process(name, kind, count, place, "cold", str(added))
            row["parts"] += _process(name, kind, count, place, "search", str(added))
            row["parts"] += _limited(name, kind, count, place, added, row["parts"])
            if name == _OURS:
                row["parts"] += _ran("durable.py", place, kind, count, vectors)
            _process(name, kind, count, place, "kill", str(added), ends_with=-signal.SIGKILL)
            row["parts"] += [part for part in _process(name, kind, count, place, "start") if part["part"] == "start"]
    except subprocess.SubprocessError as error:
        row["failed"] = str(error)[:500]
    finally:
        shutil.rmtree(place)
        shutil.rmtree(beside)
    return row


def _limited(
    name: str, kind: str, count: int, place: Path, added: int, parts: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Searches of a process that may have 256 MiB beside its anonymous memory, nothing of it cached before."""
    anonymous = next(part["anonymous_bytes"] for part in parts if part["part"] == "search")
    groups.forget_pages(place)
    try:
        with groups.limited(anonymous + _BESIDE_ANONYMOUS) as members:
            return _process(name, kind, count, place, "limited", str(added), members=members)
    except OSError as error:
        return [{"part": "limited", "cannot": str(error)}]
    except subprocess.SubprocessError as error:
        return [{"part": "limited", "cannot": str(error)[:300]}]


def _process(*words: object, members: Path | None = None, ends_with: int = 0) -> list[dict[str, Any]]:
    """The parts that one process of `one.py` has measured; opening and closing where that is what was asked for.

    Raises SubprocessError.
    """
    parts = _ran("one.py", *words, members=members, ends_with=ends_with)
    aside = {"open", "close"} if words[4] not in {"search", "both"} else set()
    return [part for part in parts if part["part"] not in aside]


def _ran(script: str, *words: object, members: Path | None = None, ends_with: int = 0) -> list[dict[str, Any]]:
    """The JSON objects that a script beside this one prints, on one core. Raises SubprocessError."""
    core = max(os.sched_getaffinity(0))

    def prepare() -> None:
        os.sched_setaffinity(0, {core})
        if members is not None:
            members.write_text(str(os.getpid()), encoding="ascii")

    done = subprocess.run(
        [sys.executable, "-P", str(Path(__file__).with_name(script)), *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE_S,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
        },
        preexec_fn=prepare,
    )
    if done.returncode != ends_with:
        raise subprocess.SubprocessError(f"ended with {done.returncode}: {done.stderr.strip()[-400:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _commit() -> str:
    asked = ["git", "rev-parse", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=True, cwd=Path(__file__).parent).stdout.strip()


def machine() -> str:
    """Cores, system, Python."""
    system = platform.uname()
    return f"{os.cpu_count()} cores, {system.system} {system.release}, Python {platform.python_version()}"
