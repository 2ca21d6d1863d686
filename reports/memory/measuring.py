"""What a process holds, how long calls take, and how fast this core reads."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

_ROLLUP = Path("/proc/self/smaps_rollup")


def resident() -> dict[str, int]:
    """Anonymous and file-backed bytes of this process that are in memory now."""
    found = {}
    for line in _ROLLUP.read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) * 1024
    return {"anonymous_bytes": found["Anonymous"], "file_bytes": found["Rss"] - found["Anonymous"]}


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """p50, p99 and the longest, in milliseconds; of fewer than a hundred calls p99 is the longest."""
    ordered = sorted(seconds)
    return {
        "p50_ms": round(1e3 * ordered[len(ordered) // 2], 4),
        "p99_ms": round(1e3 * ordered[min(len(ordered) - 1, math.ceil(0.99 * len(ordered)) - 1)], 4),
        "most_ms": round(1e3 * ordered[-1], 4),
        "calls": len(ordered),
    }


def reading_speed(size: int) -> float:
    """Bytes a second with which this core reads so many bytes: the best of nine sums over them."""
    words = np.ones(max(size, 1 << 20) // 4, dtype=np.float32)
    best = min(timed(lambda: np.dot(words, words)) for _ in range(9))
    return words.nbytes / best


def unrest(seconds: float) -> float:
    """p99 over p50 of a thousand pieces of plain arithmetic that take about so long each: what the machine adds."""
    words = np.ones(1 << 14, dtype=np.float32)
    once = min(timed(lambda: np.dot(words, words)) for _ in range(99))
    times = max(1, round(min(seconds, 0.02) / once))

    def work() -> None:
        for _ in range(times):
            np.dot(words, words)

    found = spread([timed(work) for _ in range(1000)])
    return round(found["p99_ms"] / found["p50_ms"], 2)


def recall(found: Sequence[Sequence[int]], true: Sequence[Sequence[int]]) -> float:
    """Share of the true ones that were found."""
    hits = sum(len(set(one) & set(other)) for one, other in zip(found, true, strict=True))
    return hits / sum(map(len, true))
