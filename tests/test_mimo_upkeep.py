"""fsck, stats, export, import: run as commands on real folders, and on what happens to folders."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from mimo_server.memory import seal
from mimo_server.memory.codec import quantized
from mimo_server.memory.record import Add, Category, Draft, Forget
from mimo_server.memory.rows import Row
from mimo_server.memory.schema import FILE
from mimo_server.memory.store import SqliteStore
from mimo_server.memory.vectors import unit

D = 32
pytestmark = pytest.mark.share(2)


@pytest.fixture
def folder(tmp_path):
    """A folder with 299 memories, one of 300 forgotten."""
    data = tmp_path / "data"
    data.mkdir()
    store = SqliteStore(D)
    store.open(data, "lexical")
    vectors = unit(np.random.default_rng(4).normal(size=(300, D)))
    categories = list(Category)
    store.commit(
        [
            Add(
                drafts=[
                    Draft(
                        content=f"note {number} é\n\u2028",
                        category=categories[number % 6],
                        importance=number / 300,
                        metadata={"number": number},
                        embedding=vector,
                        created_at=float(number),
                    )
                    for number, vector in enumerate(vectors)
                ]
            )
        ]
    )
    store.commit([Forget(id=7)])
    store.close()
    return data


def run(*words, code=0, **more):
    command = [sys.executable, "-P", "-m", "mimo_server", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


def fsck(folder, code):
    return json.loads(run("fsck", folder, "--json", code=code).stdout)


def files(folder):
    """All that is kept; the lock and what SQLite makes for a reader is not."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock"]
    return {path: path.read_bytes() for path in found if not path.name.endswith(("-shm", "-wal"))}


def test_a_sound_folder_is_sound_and_stays_as_it_is(folder):
    before = files(folder)
    told = fsck(folder, 0)
    assert (told["verdict"], told["memories"]) == ("sound", 299)
    assert run("fsck", folder).stdout == "299 memories: sound\n"
    assert files(folder) == before


def test_a_damaged_row_is_lost_and_named(folder):
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        db.execute("UPDATE engrams SET content = 'another' WHERE id IN (5, 9)")
    told = fsck(folder, 1)
    assert (told["verdict"], told["damaged_rows"]) == ("damaged", {"count": 2, "ids": [5, 9]})
    assert "damaged rows: 2 (5, 9); forget them" in run("fsck", folder, code=1).stdout


def test_what_the_index_has_wrong_is_found_and_the_next_start_repairs_it(folder):
    path = folder / "index" / "1" / "rows"
    data = bytearray(path.read_bytes())
    data[D * 20 + 3] ^= 8
    path.write_bytes(data)
    told = fsck(folder, 3)
    assert (told["verdict"], told["damaged_slots"]) == ("repairable", {"count": 1, "ids": [21]})
    store = SqliteStore(D)
    store.open(folder, "lexical")
    assert store.opened.index.damaged == 1
    deadline = time.monotonic() + 20
    while store.waiting:  # it is written again beside the serving
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)
    store.close()
    assert fsck(folder, 0)["verdict"] == "sound"


def test_an_index_that_says_something_else_than_the_row_is_found(folder):
    """Each is whole by itself: somebody exchanged the database for another one."""
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        row = db.execute("SELECT * FROM engrams WHERE id = 30").fetchone()
    changed = Row(*row)._replace(importance=0.999, checksum=b"")
    changed = changed._replace(checksum=changed.digest())
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        db.execute("UPDATE engrams SET importance = 0.999, checksum = ? WHERE id = 30", (changed.checksum,))
    assert fsck(folder, 3)["damaged_slots"] == {"count": 1, "ids": [30]}


def test_a_database_that_went_back_in_time_is_told(folder, tmp_path):
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        db.execute("DELETE FROM engrams WHERE id > 290")
        db.execute("UPDATE state SET change = change - 11")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    told = fsck(folder, 1)
    assert (told["verdict"], told["lost_changes"]) == ("damaged", 11)
    assert "lost: 11 changes that were acknowledged" in run("fsck", folder, code=1).stdout


@pytest.mark.parametrize("place", [3, 20, 40, seal._PLACE + 3, seal._PLACE + 60])
def test_of_a_seal_one_record_may_be_damaged(folder, place):
    data = bytearray((folder / seal.FILE).read_bytes())
    data[place] ^= 1
    (folder / seal.FILE).write_bytes(data)
    assert fsck(folder, 0)["seal"] == "whole"


def test_a_seal_that_is_damaged_altogether_or_missing_is_told(folder):
    os.truncate(folder / seal.FILE, 0)
    assert fsck(folder, 3)["seal"] == "damaged"
    (folder / seal.FILE).unlink()
    assert fsck(folder, 0)["seal"] == "missing"


def memories_of(text):
    """Of an export, without ids, with embeddings as the database keeps them."""
    found = []
    for line in filter(None, text.split("\n")):
        one = json.loads(line)
        vector = np.frombuffer(base64.b64decode(one.pop("embedding")), dtype="<f4")
        del one["id"]
        found.append((one, quantized(vector.reshape(1, -1)).tolist()))
    return found


def test_what_goes_out_comes_in_again(folder, tmp_path):
    copy, lines = tmp_path / "copy", tmp_path / "all.jsonl"
    copy.mkdir()
    assert run("export", folder, lines).stderr == "299 memories exported\n"
    assert run("import", copy, lines, "--dimensions", D).stderr == "299 lines imported\n"
    assert run("export", folder).stdout == lines.read_text(encoding="utf-8")
    first, second = memories_of(lines.read_text(encoding="utf-8")), memories_of(run("export", copy).stdout)
    assert first == second
    assert fsck(copy, 0)["memories"] == 299


def test_a_damaged_memory_is_left_out_of_an_export_and_said(folder):
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        db.execute("UPDATE engrams SET metadata = '{}' WHERE id = 5")
    done = run("export", folder, code=1)
    assert len(done.stdout.split("\n")) == 299
    assert "1 damaged memories were left out: 5" in done.stderr


@pytest.mark.parametrize("quarter", [0, 2])
def test_of_a_database_with_a_damaged_page_all_is_exported_that_can_be_read(folder, tmp_path, quarter):
    whole = memories_of(run("export", folder).stdout)
    with closing(sqlite3.connect(folder / FILE)) as db:
        size = db.execute("PRAGMA page_size").fetchone()[0]
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        leaves = [
            row[0] for row in db.execute("SELECT pageno FROM dbstat WHERE name = 'engrams' AND pagetype = 'leaf'")
        ]
    with (folder / FILE).open("r+b") as file:
        file.seek((leaves[quarter * len(leaves) // 4] - 1) * size)
        file.write(b"\xff" * size)
    assert fsck(folder, 1)["database"]
    done = run("export", folder, code=1)
    left = memories_of(done.stdout)
    assert len(left) > 299 - 40
    assert all(one in whole for one in left)
    assert f"{299 - len(left)} damaged memories were left out" in done.stderr


WRONG = [
    ("nothing", "line 3 is no JSON"),
    ("[]", "line 3: it is no memory"),
    ('{"content": 5}', "line 3: it is no memory"),
    ('{"content": ""}', "line 3: the content has 0 characters"),
    ('{"content": "x", "importance": 2}', "line 3: importance is 2.0; give 0 to 1"),
    ('{"content": "x", "importance": true}', "line 3: importance is 'True'; give a number"),
    ('{"content": "x", "importance": NaN}', "line 3: importance is nan"),
    ('{"content": "x", "category": "gossip"}', "line 3: there is no category 'gossip'; give one of fact"),
    ('{"content": "x", "category": []}', "line 3: there is no category"),
    ('{"content": "x", "metadata": []}', "line 3: metadata is '[]'; give an object"),
    ('{"content": "x", "embedding": [1, 2]}', "line 3: the embedding has 2 elements"),
    ('{"content": "x", "colour": 1}', "line 3: there is no key 'colour'"),
    ('{"content": "x", "created_at": -1}', "line 3: created_at is -1.0"),
]


@pytest.mark.parametrize(("line", "said"), WRONG)
def test_a_line_that_is_no_memory_is_named(tmp_path, line, said):
    lines = tmp_path / "some.jsonl"
    lines.write_text('{"content": "a"}\n\n' + line + '\n{"content": "b"}\n')
    assert said in run("import", tmp_path, lines, code=2).stderr


def test_what_came_before_a_wrong_line_is_not_stored_twice(tmp_path):
    lines = tmp_path / "some.jsonl"
    lines.write_text('{"content": "a"}\n\nnothing\n{"content": "b"}\n')
    done = run("import", tmp_path, lines, code=2)
    assert "lines 1 to 0 are stored: mend the rest, and go on with --skip 0" in done.stderr
    lines.write_text('{"content": "a"}\n\n{"content": "c"}\n{"content": "b"}\n')
    assert run("import", tmp_path, lines).stderr == "4 lines imported\n"
    assert fsck(tmp_path, 0)["memories"] == 3
    run("import", tmp_path, lines, "--skip", 3)
    assert fsck(tmp_path, 0)["memories"] == 4


def test_stats_are_counted_and_add_up(folder):
    told = json.loads(run("stats", folder, "--json").stdout)
    assert told["memories"] == sum(told["by_category"].values()) == 299
    assert (told["dimensions"], told["embeddings"], told["embedder"]) == (D, "int8", "lexical")
    assert told["bytes_per_memory"] == pytest.approx(sum(told["bytes"].values()) / 299, abs=0.1)
    assert "memories                     299\n" in run("stats", folder).stdout


@pytest.mark.parametrize("word", ["fsck", "stats", "export"])
def test_a_folder_that_is_none_or_in_use_is_refused(folder, tmp_path, word):
    assert "has no memories.sqlite3" in run(word, tmp_path / "nowhere", code=2).stderr
    store = SqliteStore(D)
    store.open(folder, "lexical")
    try:
        assert "another server uses" in run(word, folder, code=2).stderr
    finally:
        store.close()
    assert f"usage: mimo-server {word} FOLDER" in run(word, "--help").stdout
    assert "required: FOLDER" in run(word, code=2).stderr


def test_an_export_does_not_overwrite(folder, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    assert "taken exists; choose another file" in run("export", folder, taken, code=2).stderr
    assert taken.read_text() == "mine"
