"""Flipped bits and cut-off files of a real folder: each is found, told, and made good from what is left."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing

import numpy as np
import pytest

from mimo_server.errors import SettingsError, StoreError
from mimo_server.memory import seal
from mimo_server.memory.record import Search
from mimo_server.memory.schema import FILE
from mimo_server.memory.store import SqliteStore

D = 32
CHANGES = 40
PROGRAM = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    import numpy as np
    from mimo_server.memory.record import Add, Category, Draft, Forget
    from mimo_server.memory.store import SqliteStore
    from mimo_server.memory.vectors import unit

    store, vectors = SqliteStore(32), np.random.default_rng(5)
    store.open(Path(sys.argv[1]), "lexical")
    for number in range(40):
        drafts = [
            Draft(content=f"note {number}", category=Category.FACT, importance=0.5, embedding=vector, created_at=1.0)
            for vector in unit(vectors.normal(size=(5, 32)))
        ]
        store.commit([Add(drafts=drafts)] if number % 8 else [Add(drafts=drafts), Forget(id=number + 1)])
    os.kill(os.getpid(), signal.SIGKILL)
    """
)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder whose server was killed: its last changes are in the log alone."""
    folder = tmp_path_factory.mktemp("killed") / "data"
    folder.mkdir()
    subprocess.run([sys.executable, "-P", "-c", PROGRAM, str(folder)], check=False, timeout=60)
    assert (folder / f"{FILE}-wal").stat().st_size > 100_000
    return folder


@pytest.fixture(scope="module")
def ended(killed, tmp_path_factory):
    """The same, started once more and ended: all is in the database, and the log is gone."""
    folder = shutil.copytree(killed, tmp_path_factory.mktemp("ended") / "data")
    opened(folder)
    assert not (folder / f"{FILE}-wal").exists()
    return folder


@pytest.fixture
def folder(killed, tmp_path):
    return shutil.copytree(killed, tmp_path / "data")


def opened(folder):
    """What a start finds: memories by id with their text, the store with what it told, and how many searches failed.

    None in place of the memories: it refused to start, and said why.
    """
    store = SqliteStore(D)
    try:
        store.open(folder, "lexical")
    except SettingsError as error:
        return None, str(error), 0
    try:
        reader = store.reader()
        try:
            found, errors = searched(reader)
            return found, store, errors
        finally:
            reader.close()
    finally:
        store.close()


def searched(reader):
    """All that searches find: a damaged one that a search meets is an error once, and then left out."""
    vector = np.eye(1, D, dtype=np.float32)[0]
    found, cursor, errors = {}, None, 0
    while True:
        try:
            page = reader.search(Search(vector=vector, limit=100, cursor=cursor), vector)
        except StoreError:
            errors += 1
            if errors > 300:  # for good: a page of the database itself
                return found, errors
            continue
        for hit in page.hits:
            assert hit.memory.id not in found
            found[hit.memory.id] = (hit.memory.content, round(hit.similarity, 6))
        cursor = page.next_cursor
        if cursor is None:
            return found, errors


@pytest.fixture(scope="module")
def whole(killed, tmp_path_factory):
    found, store, _ = opened(shutil.copytree(killed, tmp_path_factory.mktemp("whole") / "data"))
    assert len(found) == 195
    assert store.opened.lost_changes == 0
    return found


def damaged(path, how, chance):
    size = path.stat().st_size
    if how == "cut":
        os.truncate(path, chance.randrange(size))
        return
    data = bytearray(path.read_bytes())
    data[chance.randrange(size)] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


@pytest.mark.share(4)
@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("how", ["flipped", "cut"])
@pytest.mark.parametrize("name", [f"{FILE}-wal", FILE, seal.FILE])
def test_no_answer_is_wrong_and_what_is_lost_is_told(folder, whole, name, how, seed):
    damaged(folder / name, how, random.Random(seed))
    found, store, _ = opened(folder)
    if found is None:
        assert name == FILE
        assert "memories.sqlite3" in store
        return
    told = store.opened
    again = found.keys() - whole.keys()
    assert all(found[number] == whole[number] for number in found.keys() - again), "what was stored, or nothing"
    assert told.lost_changes or not again, "a deletion that was lost"
    assert told.lost_changes or store.corrupt or len(found) == len(whole)
    if name == seal.FILE:
        assert found == whole
        assert not told.lost_changes


@pytest.mark.share(4)
@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("how", ["flipped", "cut"])
def test_a_damaged_database_gives_no_wrong_answer_and_loses_nothing_in_silence(ended, whole, tmp_path, how, seed):
    folder = shutil.copytree(ended, tmp_path / "data")
    damaged(folder / FILE, how, random.Random(seed))
    found, store, errors = opened(folder)
    if found is None:
        assert "memories.sqlite3" in store
        return
    assert found.keys() <= whole.keys()
    assert all(found[number] == whole[number] for number in found)
    assert len(found) == len(whole) or store.corrupt or store.opened.lost_changes or errors


def test_a_log_and_a_seal_that_lost_the_same_tail_cannot_be_told_from_an_earlier_time(folder, whole, tmp_path):
    """The limit of it, as the manual says."""
    log = folder / f"{FILE}-wal"
    os.truncate(log, log.stat().st_size // 2)
    with closing(sqlite3.connect(folder / FILE)) as db:
        (change,) = db.execute("SELECT change FROM state").fetchone()
    with closing(seal.Seal(folder)) as sealed:
        for _ in range(2):
            sealed.write(seal.Sealed(change=change, last_id=1, memories=1))
    found, store, _ = opened(folder)
    assert len(found) < len(whole)
    assert store.opened.lost_changes == 0
