"""One engine with one set of vectors, in a process of its own: prints one JSON object a part, as it is measured.

    python -P reports/memory/one.py ENGINE KIND COUNT FOLDER PART [ADDED]

PART `fill` adds all vectors (or as many as 15 minutes and 16 GB of anonymous memory allow), `search` opens what was
added and measures everything else. An engine that keeps nothing does both in one process: PART `both`. `cold` and
`limited` open and search with nothing warmed up; whoever starts them has dropped the page cache, or limits memory.
`kill` adds some and kills itself, `start` opens what is left. `empty` says what a process holds with hardly anything in
it: what the memory of the others is counted from.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from engines import Engine, Rows, engine
from measuring import reading_speed, recall, resident, spread, timed, unrest
from sets import Set

LONGEST_S = 900.0
MOST_ANONYMOUS = 16 << 30
AT_ONCE = 1000
SHARES = (0.5, 0.1, 0.01, 0.001)
K = 10
_SINGLE = 200
"""Single insertions and removals that are timed."""
_FILTERED = 100
"""Queries with a filter, for each share."""
_WARM = 20
_LONGEST_OF_ALL_S, _LONGEST_OF_SOME_S = 300.0, 60.0


def main(words: Sequence[str]) -> None:
    """Measure one part."""
    name, kind, count, folder, part = words[:5]
    vectors = Set(kind, int(count), Path(folder).parent)
    kept = Path(folder)
    kept.mkdir(parents=True, exist_ok=True)
    begun = time.perf_counter()
    used = engine(name)(kept, vectors.dimensions)
    tell("open", {"seconds": round(time.perf_counter() - begun, 3)})
    try:
        _measure(used, part, vectors, begun, words)
    finally:  # also where it failed: the threads of some would go on
        begun = time.perf_counter()
        used.close()
        tell("close", {"seconds": round(time.perf_counter() - begun, 3)})


def _measure(used: Engine, part: str, vectors: Set, begun: float, words: Sequence[str]) -> None:
    if part == "empty":
        used.add(0, vectors.queries[:_WARM])
        for query in vectors.queries[:_WARM]:
            used.search(query, K)
        tell("empty", resident())
    if part in {"fill", "both"}:
        tell("fill", filled(used, vectors))
    if part in {"search", "both"}:
        searched(used, vectors, int(words[5]))
    if part in {"cold", "limited"}:
        tell(part, unprepared(used, vectors))
    if part == "kill":
        used.add(2 * int(words[5]), vectors.more(_SINGLE))
        os.kill(os.getpid(), signal.SIGKILL)
    if part == "start":
        used.search(vectors.queries[0], K)
        tell("start", {"seconds": round(time.perf_counter() - begun, 3)})


def tell(part: str, measured: dict[str, object]) -> None:
    """One line."""
    sys.stdout.write(json.dumps({"part": part, **measured}) + "\n")
    sys.stdout.flush()


def filled(used: Engine, vectors: Set) -> dict[str, object]:
    """Add in batches of 1,000 until all are in, or a limit is reached."""
    begun, added, batches, why = time.perf_counter(), 0, [], "all added"
    for rows in vectors.batches(AT_ONCE):
        batches.append(timed(partial(used.add, added, rows)))
        added += len(rows)
        if time.perf_counter() - begun > LONGEST_S:
            why = f"stopped after {LONGEST_S:.0f} s"
            break
        if added % (10 * AT_ONCE) == 0 and resident()["anonymous_bytes"] > MOST_ANONYMOUS:
            why = f"stopped at {MOST_ANONYMOUS >> 30} GiB"
            break
    if added == vectors.count:
        why = "all added"
    seconds = sum(batches)
    first, last = batches[: max(1, len(batches) // 10)], batches[-max(1, len(batches) // 10) :]
    return {
        "added": added,
        "why": why,
        "seconds": round(seconds, 2),
        "per_second": round(added / seconds, 1),
        "batch": spread(batches),
        "last_over_first": round((sum(last) / len(last)) / (sum(first) / len(first)), 3),
        **resident(),
    }


def searched(used: Engine, vectors: Set, added: int) -> None:
    """Memory, searches, filtered searches, single insertions and removals."""
    queries = vectors.queries
    for query in queries[:_WARM]:
        used.search(query, K)
    found, seconds = asked(lambda query: used.search(query, K), queries, _LONGEST_OF_ALL_S)
    held = resident()
    tell(
        "search",
        {
            **spread(seconds),
            "recall_at_10": round(recall(found, vectors.true(added)[: len(found)]), 4),
            **held,
            "reading_bytes_per_second": round(reading_speed(64 << 20)),
            "machine_p99_over_p50": unrest(median(seconds)),
        },
    )
    if used.filters:
        for share in SHARES:
            tell("filtered", {"share": share, **_filtered(used, vectors, added, share)})
    tell("insert", _inserted(used, vectors, added))
    tell("remove", _removed(used, added))


def unprepared(used: Engine, vectors: Set) -> dict[str, object]:
    """The first searches of a process, each of another query."""
    _, seconds = asked(lambda query: used.search(query, K), vectors.queries, _LONGEST_OF_SOME_S)
    return {**spread(seconds), "first_ms": round(1e3 * seconds[0], 3), **resident()}


def asked(
    search: Callable[[Rows], Sequence[int]], queries: Rows, most: float
) -> tuple[list[Sequence[int]], list[float]]:
    """Ask one after the other, and no more once it took so many seconds: what is that slow is known well enough."""
    found, seconds = [], []
    for query in queries:
        begun = time.perf_counter()
        answer = search(query)
        seconds.append(time.perf_counter() - begun)
        found.append(answer)
        if sum(seconds) > most:
            break
    return found, seconds


def _filtered(used: Engine, vectors: Set, added: int, share: float) -> dict[str, object]:
    found, seconds = asked(
        lambda query: used.search_among(query, K, 1 - share), vectors.queries[:_FILTERED], _LONGEST_OF_SOME_S
    )
    return {**spread(seconds), "recall_at_10": round(recall(found, vectors.true(added, share)[: len(found)]), 4)}


def _inserted(used: Engine, vectors: Set, added: int) -> dict[str, object]:
    seconds = []
    for number, row in enumerate(vectors.more(_SINGLE)):
        seconds.append(timed(partial(used.add, added + number, row.reshape(1, -1))))
        if sum(seconds) > _LONGEST_OF_SOME_S:
            break
    return spread(seconds)


def _removed(used: Engine, added: int) -> dict[str, object]:
    numbers, seconds = random.Random(1).sample(range(added), min(_SINGLE, added)), []
    for number in numbers:
        try:
            seconds.append(timed(partial(used.remove, [number])))
        except NotImplementedError as error:
            return {"cannot": str(error)}
        if sum(seconds) > _LONGEST_OF_SOME_S:
            break
    return spread(seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
