"""SIGKILL at any instant and at every named place: what was acknowledged is there, and the index is the table."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing

import numpy as np
import pytest

from mimo_server.memory import mapped
from mimo_server.memory.failpoints import NAMES
from mimo_server.memory.record import Search
from mimo_server.memory.schema import FILE
from mimo_server.memory.store import SqliteStore

D = 32
PROGRAM = textwrap.dedent(
    """
    import json, random, sys
    from pathlib import Path
    import numpy as np
    from mimo_server.memory import mapped
    from mimo_server.memory.record import Add, Category, Draft, Forget
    from mimo_server.memory.store import SqliteStore
    from mimo_server.memory.vectors import unit

    folder, seed, fewest = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    mapped._FEWEST_DEAD, mapped._COPIED_AT_ONCE, mapped._FILLED_AT_ONCE = fewest, 50, 20
    chance, vectors = random.Random(seed), np.random.default_rng(seed)
    store = SqliteStore(32)
    store.open(folder, "lexical")
    print(json.dumps({"open": True}), flush=True)
    alive = [row[0] for row in store._db.execute("SELECT id FROM engrams")]
    for _ in range(3000):  # whoever was not killed by then was not at that place
        changes, gone = [], []
        for _ in range(chance.randrange(1, 6)):
            if alive and chance.random() < 0.02:
                changes.append(Forget(everything=True))
                gone, alive = gone + alive, []
            elif alive and chance.random() < 0.8:
                gone.append(alive.pop(chance.randrange(len(alive))))
                changes.append(Forget(id=gone[-1]))
            else:
                drafts = [
                    Draft(content="x" * 3000, category=Category.FACT, importance=0.5, embedding=vector, created_at=1.0)
                    for vector in unit(vectors.normal(size=(chance.randrange(1, 9), 32)))
                ]
                changes.append(Add(drafts=drafts))
        everything = [place for place, one in enumerate(changes) if isinstance(one, Forget) and one.everything]
        print(json.dumps({"asked": gone}), flush=True)
        outcomes = store.commit(changes)
        for one in outcomes:
            assert not isinstance(one, Exception), one
        stored = [number for one in outcomes if isinstance(one, list) for number in one]
        if everything:  # what came before it in this group went with it
            last = everything[-1]
            stored = [number for one in outcomes[last:] if isinstance(one, list) for number in one]
        alive += stored
        print(json.dumps({"did": stored, "forgot": gone}), flush=True)
    """
)


def killed(folder, *, seed, lines=None, failpoint="", fewest=4096):
    """Run until it is killed: after so many lines, or by itself. What it acknowledged: stored, forgotten, in doubt."""
    environment = {**os.environ, "STORE_FAILPOINT": failpoint}
    command = [sys.executable, "-P", "-c", PROGRAM, str(folder), str(seed), str(fewest)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    stored, forgotten, doubted = set(), set(), set()
    for count, line in enumerate(process.stdout):
        told = json.loads(line)
        doubted = set(told.get("asked", ()))
        stored |= set(told.get("did", ()))
        forgotten |= set(told.get("forgot", ()))
        if count == lines:
            os.kill(process.pid, signal.SIGKILL)
    process.stdout.close()
    assert process.wait(20) == -signal.SIGKILL
    return stored, forgotten, doubted


def reopened(folder):
    """What is there now: ids of the table, ids that a search for everything finds, and how the start went."""
    store = SqliteStore(D)
    store.open(folder, "lexical")
    try:
        reader = store.reader()
        try:
            vector = np.eye(1, D, dtype=np.float32)[0]
            found, cursor = set(), None
            while True:
                page = reader.search(Search(vector=vector, limit=1000, cursor=cursor), vector)
                found |= {hit.memory.id for hit in page.hits}
                cursor = page.next_cursor
                if cursor is None:
                    break
        finally:
            reader.close()
        return found, store.opened
    finally:
        store.close()


def table(folder):
    with closing(sqlite3.connect(folder / FILE)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return {row[0] for row in db.execute("SELECT id FROM engrams")}


def check(folder, stored, forgotten, doubted):
    found, opened = reopened(folder)
    there = table(folder)
    assert found == there
    assert opened.lost_changes == 0
    assert not opened.seal_damaged
    assert stored - forgotten - doubted <= there
    assert not forgotten & there
    return there


@pytest.mark.share(6)
@pytest.mark.parametrize("seed", range(40))
def test_after_a_kill_at_a_random_instant_all_that_was_acknowledged_is_there(tmp_path, seed):
    chance, stored, forgotten = random.Random(seed), set(), set()
    for life in range(3):
        more, gone, doubted = killed(tmp_path, seed=100 * seed + life, lines=chance.randrange(1, 120), fewest=60)
        stored, forgotten = stored | more, forgotten | gone
        there = check(tmp_path, stored, forgotten, doubted)
        stored, forgotten = there, set()


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("migrat")])
def test_after_a_kill_at_a_named_place_all_that_was_acknowledged_is_there(tmp_path, name, count):
    kept = killed(tmp_path, seed=1, lines=200, fewest=10_000)
    check(tmp_path, *kept)
    before = table(tmp_path)
    if name == "filled":  # there is nothing to fill in, unless the index is gone
        (next((tmp_path / mapped.FOLDER).iterdir()) / "ids").write_bytes(b"")
    more, gone, doubted = killed(tmp_path, seed=2, failpoint=f"{name}:{count}", fewest=20)
    check(tmp_path, (before | more) - gone, gone, doubted)


@pytest.mark.parametrize("name", ["migrating", "migrated"])
def test_a_migration_that_is_killed_is_done_by_the_next_start(tmp_path, name):
    check(tmp_path, *killed(tmp_path, seed=3, lines=60))
    before = table(tmp_path)
    with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
        db.executescript("DROP INDEX engrams_change; DROP INDEX engrams_created; PRAGMA user_version = 2;")
    killed(tmp_path, seed=4, failpoint=name)
    check(tmp_path, before, set(), set())
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
