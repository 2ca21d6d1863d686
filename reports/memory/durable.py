"""How fast the reference server's store takes memories that are on the disk when they are acknowledged.

    python -P reports/memory/durable.py FOLDER KIND COUNT VECTORS

Beside it, in turns, the bare minimum: sqlite3 with the same rows, made before, in the same groups, with the same
settings, into a copy of the same database. FOLDER is one that `one.py mimo … fill` has filled. One JSON object.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from engines import Rows
from sets import Set

from mimo_server.memory import schema
from mimo_server.memory.embed import LexicalEmbedder
from mimo_server.memory.memories import Memories
from mimo_server.memory.record import Category, Change, Draft
from mimo_server.memory.rows import COLUMNS, Row
from mimo_server.memory.store import Outcome, SqliteStore

PAIRS = 7
_EACH = 32
"""Calls of each caller in one turn."""
WAYS = {"callers_64": (64, 1), "caller_1": (1, 1), "batches_of_100": (1, 100)}
"""How many call at once, and how many memories each call stores."""


class _Watched(SqliteStore):
    """Notes the size of each group it commits."""

    groups: list[int]

    def commit(self, changes: Sequence[Change]) -> list[Outcome]:
        self.groups.append(len(changes))
        return super().commit(changes)


def measured(folder: Path, rows: Rows) -> dict[str, Any]:
    """Memories a second of both, and ours as a share of the bare one's: the median over pairs, least and most."""
    beside = Path(tempfile.mkdtemp(prefix="bare-", dir=folder.parent))
    try:
        for path in folder.glob(f"{schema.FILE}*"):
            shutil.copy2(path, beside / path.name)
        return asyncio.run(_in_turns(folder, beside, rows))
    finally:
        shutil.rmtree(beside)


async def _in_turns(folder: Path, beside: Path, rows: Rows) -> dict[str, Any]:
    store = _Watched(rows.shape[1])
    store.groups = []
    found: dict[str, Any] = {}
    embedder = LexicalEmbedder(rows.shape[1])
    embedder.name = "bench"
    async with Memories(store, embedder, folder=folder) as memories:
        bare = schema.writing_connection(beside, f"{store.codec.name}/{store.dimensions}/bench")
        for name, (callers, batch) in WAYS.items():
            await _ours(memories, rows, callers, batch)  # once, not counted
            pairs = []
            for _ in range(PAIRS):
                store.groups.clear()
                seconds = await _ours(memories, rows, callers, batch)
                groups = [one * batch for one in store.groups]
                pairs.append((seconds, _bare(bare, store, rows, groups), sum(groups), len(groups)))
            shares = [other / ours for ours, other, _, _ in pairs]
            found[name] = {
                "per_second": round(median(count / ours for ours, _, count, _ in pairs)),
                "bare_per_second": round(median(count / other for _, other, count, _ in pairs)),
                "share_percent": round(100 * median(shares), 1),
                "share_percent_least": round(100 * min(shares), 1),
                "share_percent_most": round(100 * max(shares), 1),
                "in_a_commit": round(median(count / number for _, _, count, number in pairs), 1),
                "pairs": len(pairs),
            }
        bare.close()
    return found


async def _ours(memories: Memories, rows: Rows, callers: int, batch: int) -> float:
    drafts = [_draft(row) for row in rows[:batch]]
    begun = time.perf_counter()

    async def one() -> None:
        for _ in range(_EACH):
            await memories.store(drafts)

    await asyncio.gather(*(one() for _ in range(callers)))
    return time.perf_counter() - begun


def _draft(row: Any) -> Draft:
    content = "what was said, and by whom, in some eighty characters of text or so, no more than that"
    return Draft(content=content, category=Category.FACT, importance=0.5, embedding=row, created_at=1e9)


def _bare(connection: sqlite3.Connection, store: SqliteStore, rows: Rows, groups: Sequence[int]) -> float:
    (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM engrams").fetchone()
    (embedding,) = store.codec.encode(rows[:1])
    made = [
        Row.of(_draft(rows[0]), embedding, id=last + 1 + number, change=last + 1 + number)
        for number in range(sum(groups))
    ]
    statement = f"INSERT INTO engrams ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    begun, first = time.perf_counter(), 0
    for size in groups:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(statement, made[first : first + size])
        connection.execute("COMMIT")
        first += size
    return time.perf_counter() - begun


def main(words: Sequence[str]) -> None:
    """Measure it."""
    folder, kind, count, vectors = words
    rows = np.ascontiguousarray(Set(kind, int(count), Path(vectors)).more(100))
    sys.stdout.write(json.dumps({"part": "durable", **measured(Path(folder), rows)}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
