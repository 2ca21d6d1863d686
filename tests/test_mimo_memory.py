"""The memories of the reference server, on real files: what is acknowledged stays, what is full says so."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import math
import os
import re
import sqlite3
import struct
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mimo_server.errors import EmbeddingError, InvalidError, LimitError, NotFoundError, SettingsError, StoreError
from mimo_server.memory.codec import Int8Codec
from mimo_server.memory.corpus import drafts
from mimo_server.memory.embed import LexicalEmbedder
from mimo_server.memory.endpoint import Endpoint, EndpointEmbedder
from mimo_server.memory.memories import Memories
from mimo_server.memory.record import Add, Category, Draft, Forget, Search
from mimo_server.memory.rows import CorruptRowError
from mimo_server.memory.schema import FILE
from mimo_server.memory.store import SqliteStore
from mimo_server.memory.vectors import unit, vector_from
from mimo_server.supervision.events import Events, Kind

D = 64


def draft(content, category=Category.FACT, importance=0.5, **more):
    return Draft(content=content, category=category, importance=importance, **more)


@asynccontextmanager
async def opened(folder, *, store=None, embedder=None, **more):
    async with Memories(store or SqliteStore(D), embedder or LexicalEmbedder(D), folder=folder, **more) as memories:
        yield memories


def bound(memories, name):
    return next(one for one in memories.bounds() if one.name == name)


async def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.002)


async def walk(memories, search):
    """All pages."""
    found = []
    while True:
        page = await memories.search(search)
        found += page.hits
        if page.next_cursor is None:
            return found
        search = replace(search, cursor=page.next_cursor)


class Blocked(SqliteStore):
    """A store whose commits and reads wait for the test, as a slow disk's would."""

    def __init__(self, dimensions):
        super().__init__(dimensions)
        self.commits = []
        self.may_commit = threading.Event()
        self.may_read = threading.Event()
        self.may_commit.set()
        self.may_read.set()

    def commit(self, changes):
        self.commits.append(len(changes))
        assert self.may_commit.wait(20)
        return super().commit(changes)

    def reader(self):
        reader = super().reader()
        search = reader.search

        def slow(wanted, vector):
            assert self.may_read.wait(20)
            return search(wanted, vector)

        reader.search = slow
        return reader


# -- storing ---------------------------------------------------------------------------------------------------------


def test_a_memory_comes_back_as_it_was_given(tmp_path):
    texts = ["x", "it's; DROP TABLE engrams --", "%_", "nul\0nul", "é vs e\u0301", "\u202egnp.exe", "👩‍👩‍👧", "\u200b"]
    metadata = {"a": [1, 2.5, None, True, {"b": "ü"}], "'": "\0", "deep": nested(31)}

    async def scenario():
        async with opened(tmp_path) as memories:
            given = [draft(text, Category.PLAN, 0.25, metadata=metadata, created_at=12.5) for text in texts]
            ids = await memories.store(given)
            assert ids == list(range(1, len(texts) + 1))
            for number, text in zip(ids, texts, strict=True):
                memory = await memories.get(number)
                assert (memory.id, memory.content, memory.category) == (number, text, Category.PLAN)
                assert (memory.importance, memory.metadata) == (0.25, metadata)
                assert (memory.created_at, memory.updated_at) == (12.5, 12.5)
                assert (await memories.search(Search(text=text, limit=1))).hits[0].memory.content == text
            with pytest.raises(NotFoundError, match="no memory 99"):
                await memories.get(99)
            for absent in (0, -1, 2**63, 2**200):
                with pytest.raises(NotFoundError):
                    await memories.get(absent)
                assert await memories.forget(id=absent) == 0

    asyncio.run(scenario())


def nested(levels):
    """So many objects inside each other."""
    value = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"content": ""}, "content has 0 characters"),
        ({"content": "a" * 100_001}, "100001 characters"),
        ({"content": "ab\ud800"}, "character 2 of the content"),
        ({"importance": math.nan}, "importance is nan"),
        ({"importance": 1.01}, "importance is 1.01"),
        ({"created_at": math.inf}, "created_at is inf"),
        ({"created_at": math.nan}, "created_at is nan"),
        ({"created_at": -1.0}, "created_at is -1.0"),
        ({"metadata": {"a": math.nan}}, "metadata cannot be kept"),
        ({"metadata": {"a": "b" * 9000}}, "metadata has 9009 bytes"),
        ({"metadata": {"a": {1}}}, "metadata cannot be kept"),
        ({"metadata": nested(33)}, "deeper than 32 levels"),
        ({"metadata": nested(3000)}, "deeper than 32 levels"),
        ({"metadata": {"a": "\ud800"}}, "metadata cannot be kept"),
        ({"embedding": np.zeros(D, dtype=np.float32)}, "all zeros"),
        ({"embedding": np.ones(D + 1, dtype=np.float32)}, "65 elements"),
    ],
)
def test_a_memory_that_cannot_be_kept_is_refused_and_none_of_its_call_is_stored(tmp_path, wrong, named):
    async def scenario():
        async with opened(tmp_path) as memories:
            with pytest.raises(InvalidError, match=named):
                await memories.store([draft("good"), replace(draft("bad"), **wrong)])
            assert (await memories.facts()).memories == 0

    asyncio.run(scenario())


def test_what_waits_is_committed_together_and_every_writer_reads_its_own(tmp_path):
    store = Blocked(D)

    async def scenario():
        async with opened(tmp_path, store=store) as memories:
            store.may_commit.clear()
            first = asyncio.create_task(memories.store([draft("first")]))
            await until(lambda: store.commits)
            rest = [asyncio.create_task(memories.store([draft(f"note {n}")])) for n in range(100)]
            await until(lambda: bound(memories, "write_queue").size == 100)
            store.may_commit.set()
            ids = [(await task)[0] for task in (first, *rest)]
            assert store.commits == [1, 64, 36]
            assert sorted(ids) == list(range(1, 102))
            return ids

    ids = asyncio.run(scenario())

    async def again():
        async with opened(tmp_path) as memories:
            for n, number in enumerate(ids[1:]):
                assert (await memories.get(number)).content == f"note {n}"

    asyncio.run(again())


def test_64_writers_at_once_are_all_answered_and_kept(tmp_path):
    store = Blocked(D)

    async def writer(memories, name):
        return [(await memories.store([draft(f"{name} {n}")]))[0] for n in range(10)]

    async def scenario():
        async with opened(tmp_path, store=store) as memories:
            ids = await asyncio.gather(*(writer(memories, name) for name in range(64)))
            assert len(store.commits) < 640 / 4, "commits were not shared"
            assert await memories.check() is None
            return ids

    ids = asyncio.run(scenario())
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        rows = dict(db.execute("SELECT id, content FROM engrams"))
    assert rows == {number: f"{name} {n}" for name, mine in enumerate(ids) for n, number in enumerate(mine)}


def test_a_change_that_fails_in_a_group_fails_alone(tmp_path):
    store = SqliteStore(D)
    store.open(tmp_path, "lexical")
    vector = LexicalEmbedder(D).embedded(["a"])[0]
    good = Add(drafts=[draft("a", embedding=vector, created_at=1.0)])
    bad = Add(drafts=[draft("b", embedding=vector, created_at=1.0), draft("\ud800", embedding=vector, created_at=1.0)])
    outcomes = store.commit([good, bad, good, Forget(id=1)])
    assert outcomes[0] == [1]
    assert isinstance(outcomes[1], UnicodeEncodeError)
    assert outcomes[2:] == [[2], 1]
    assert store.facts.memories == 1
    store.close()


def test_a_full_queue_refuses_at_once_and_counts_it(tmp_path):
    store, embedder = Blocked(D), LexicalEmbedder(D)

    async def scenario():
        async with opened(tmp_path, store=store, embedder=embedder, write_queue=3) as memories:
            store.may_commit.clear()
            tasks = [asyncio.create_task(memories.store([draft("taken")]))]
            await until(lambda: store.commits)
            tasks += [asyncio.create_task(memories.store([draft(f"waits {n}")])) for n in range(3)]
            await until(lambda: bound(memories, "write_queue").size == 3)
            started = time.monotonic()
            embedder.embed = None  # nothing is embedded for a write that cannot be taken
            with pytest.raises(LimitError, match="write_queue: 3 changes wait already; busy, try again"):
                await memories.store([draft("too many")])
            assert time.monotonic() - started < 0.5
            full = bound(memories, "write_queue")
            assert (full.size, full.limit, full.high_water, full.rejected) == (3, 3, 3, 1)
            store.may_commit.set()
            assert sorted([(await task)[0] for task in tasks]) == [1, 2, 3, 4]
            assert (await memories.facts()).memories == 4

    asyncio.run(scenario())


def test_a_cancelled_writer_loses_and_doubles_nothing(tmp_path):
    store = Blocked(D)

    async def scenario():
        async with opened(tmp_path, store=store) as memories:
            store.may_commit.clear()
            begun = asyncio.create_task(memories.store([draft("begun")]))
            await until(lambda: store.commits)
            waiting = [asyncio.create_task(memories.store([draft(f"waits {n}")])) for n in range(4)]
            await until(lambda: bound(memories, "write_queue").size == 4)
            for task in (begun, waiting[0], waiting[2]):
                task.cancel()
            await asyncio.wait([begun, waiting[0], waiting[2]])
            assert all(task.cancelled() for task in (begun, waiting[0], waiting[2]))
            store.may_commit.set()
            await asyncio.gather(waiting[1], waiting[3])
            contents = [hit.memory.content for hit in await walk(memories, Search(text="waits"))]
            assert sorted(contents) == ["begun", "waits 1", "waits 3"]  # begun was in its commit already
            assert bound(memories, "write_queue").size == 0

    asyncio.run(scenario())


def test_what_waits_at_the_end_is_committed_and_what_comes_later_is_refused(tmp_path):
    store = Blocked(D)

    async def scenario():
        async with opened(tmp_path, store=store) as memories:
            store.may_commit.clear()
            tasks = [asyncio.create_task(memories.store([draft(f"note {n}")])) for n in range(100)]
            await until(lambda: bound(memories, "write_queue").size >= 36)
            threading.Timer(0.1, store.may_commit.set).start()
        assert sorted(itertools.chain(*(await asyncio.gather(*tasks)))) == list(range(1, 101))
        with pytest.raises(StoreError, match="ending"):
            await memories.store([draft("late")])
        for late in (memories.get(1), memories.search(Search(text="a" * 2000)), memories.forget(id=1)):
            with pytest.raises(StoreError, match="ending"):
                await late

    before = threading.active_count()
    asyncio.run(scenario())
    assert threading.active_count() == before
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["index", "lock", FILE, "seal"], "the log went with the last connection"
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        assert db.execute("SELECT count(*) FROM engrams").fetchone() == (100,)


def test_it_ends_whole_although_it_is_cancelled_while_it_ends(tmp_path):
    store = Blocked(D)

    async def live(started):
        async with opened(tmp_path, store=store) as memories:
            store.may_commit.clear()
            started.append(asyncio.create_task(memories.store([draft("kept")])))
            await until(lambda: store.commits)

    async def scenario():
        started = []
        task = asyncio.create_task(live(started))
        await until(lambda: store.commits)
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0.01)
        assert not task.done()
        store.may_commit.set()
        await asyncio.wait([task])
        assert task.cancelled()
        assert await started[0] == [1]

    before = threading.active_count()
    asyncio.run(scenario())
    assert threading.active_count() == before
    again = SqliteStore(D)
    again.open(tmp_path, "lexical")
    assert again.facts.memories == 1
    again.close()


WRITING = """
    import asyncio, sys
    from pathlib import Path
    from mimo_server.memory.embed import LexicalEmbedder
    from mimo_server.memory.memories import Memories
    from mimo_server.memory.record import Category, Draft
    from mimo_server.memory.store import SqliteStore

    async def writer(memories, name):
        for n in range(100_000):
            content = f"{name} {n}"
            (number,) = await memories.store([Draft(content=content, category=Category.FACT, importance=0.5)])
            print(number, content, flush=True)

    async def main():
        async with Memories(SqliteStore(64), LexicalEmbedder(64), folder=Path(sys.argv[1])) as memories:
            await asyncio.gather(*(writer(memories, name) for name in range(8)))

    asyncio.run(main())
"""


@asynccontextmanager
async def child(program, *arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", textwrap.dedent(program), *arguments, stdout=-1, stderr=-1
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def test_a_killed_server_has_kept_every_memory_that_it_acknowledged(tmp_path):
    async def scenario():
        acknowledged = {}
        for lines in (1, 40, 200, 333):
            async with child(WRITING, str(tmp_path)) as process:
                for _ in range(lines):
                    number, _, content = (await process.stdout.readline()).decode().strip().partition(" ")
                    acknowledged[int(number)] = content
                process.kill()
                for line in (await process.stdout.read()).decode().splitlines(keepends=True):
                    if line.endswith("\n"):  # what was said before the kill counts too
                        number, _, content = line.strip().partition(" ")
                        acknowledged[int(number)] = content
            async with opened(tmp_path) as memories:
                assert (await memories.facts()).memories >= len(acknowledged) >= lines
                for number, content in acknowledged.items():
                    assert (await memories.get(number)).content == content
                assert len(await walk(memories, Search(text="0 1", limit=1000))) == (await memories.facts()).memories
                assert await memories.check() is None

    asyncio.run(scenario())


def test_a_second_server_on_the_same_folder_refuses_and_names_the_first(tmp_path):
    async def scenario():
        async with child(WRITING, str(tmp_path)) as process:
            await process.stdout.readline()
            with pytest.raises(SettingsError, match=rf"another server uses .* \(process {process.pid}\); end it"):
                async with opened(tmp_path):
                    pass
        async with opened(tmp_path) as memories:  # a killed one holds nothing
            with pytest.raises(SettingsError, match=f"process {os.getpid()}"):
                async with opened(tmp_path):
                    pass
            assert await memories.check() is None

    before = threading.active_count()
    asyncio.run(scenario())
    assert threading.active_count() == before


FULL = """
    import asyncio, resource, sys
    from pathlib import Path
    from mimo_server.errors import StoreError
    from mimo_server.memory.embed import LexicalEmbedder
    from mimo_server.memory.memories import Memories
    from mimo_server.memory.record import Category, Draft, Search
    from mimo_server.memory.store import SqliteStore

    def draft(n):
        return Draft(content=f"{n} " + "filler " * 500, category=Category.FACT, importance=0.5)

    async def main():
        async with Memories(SqliteStore(64), LexicalEmbedder(64), folder=Path(sys.argv[1])) as memories:
            resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
            kept, failed = [], []
            for group in range(40):
                answers = await asyncio.gather(
                    *(memories.store([draft(n)]) for n in range(5)), return_exceptions=True
                )
                kept += [answer[0] for answer in answers if isinstance(answer, list)]
                failed += [answer for answer in answers if not isinstance(answer, list)]
            assert len(kept) > 20 and len(failed) > 20, (len(kept), len(failed))
            assert all(isinstance(one, StoreError) for one in failed), failed
            assert (await memories.facts()).memories == len(kept)
            page = await memories.search(Search(text="filler", limit=1000))
            assert sorted(hit.memory.id for hit in page.hits) == sorted(kept)
            assert "failed" in await memories.check()
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            kept += await memories.store([draft(7)])
            assert await memories.check() is None
            print(failed[0])
            print(len(kept))

    asyncio.run(main())
"""


def test_a_full_disk_is_an_error_reads_go_on_and_space_makes_it_well_again(tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(FULL), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said, kept = done.stdout.splitlines()
    assert "the database could not do it, and nothing was changed" in said
    assert "then try again" in said

    async def scenario():
        async with opened(tmp_path) as memories:
            assert (await memories.facts()).memories == int(kept)
            assert await memories.check() is None

    asyncio.run(scenario())


READ_ONLY = """
    import asyncio, os, sys
    from pathlib import Path
    from mimo_server.errors import SettingsError
    from mimo_server.memory.embed import LexicalEmbedder
    from mimo_server.memory.memories import Memories
    from mimo_server.memory.store import SqliteStore

    def made(folder):
        return Memories(SqliteStore(64), LexicalEmbedder(64), folder=Path(folder))

    async def main():
        async with made(sys.argv[2]):  # what is imported late is, as long as this user may read it
            pass
        if os.geteuid() == 0:  # root may write everywhere
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        try:
            async with made(sys.argv[1]):
                raise AssertionError("it may not be written")
        except SettingsError as error:
            print(error)

    asyncio.run(main())
"""


@pytest.mark.parametrize("locked", ["folder", "database", "index"])
def test_a_folder_that_may_only_be_read_is_refused_and_left_as_it_is(tmp_path, locked):
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir()
    other.mkdir()

    async def scenario():
        async with opened(data) as memories:
            await memories.store([draft("a note")])

    asyncio.run(scenario())
    everything = (data, *data.rglob("*"))
    only = {"folder": everything, "database": (data / FILE,), "index": tuple((data / "index").rglob("*"))}[locked]
    for path in everything:
        path.chmod(0o777 if path.is_dir() else 0o666)
    for path in only:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(0o755)
    before = {path: path.read_bytes() for path in everything if path.is_file() and not path.stat().st_mode & 0o222}
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(READ_ONLY), str(data), str(other)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search("choose another --data folder|choose a --data folder that you may write", done.stdout)
    assert {path: path.read_bytes() for path in before} == before


SCARCE = """
    import asyncio, os, resource, sys
    from pathlib import Path
    from mimo_server.errors import SettingsError
    from mimo_server.memory.embed import LexicalEmbedder
    from mimo_server.memory.memories import Memories
    from mimo_server.memory.record import Category, Draft, Search
    from mimo_server.memory.store import SqliteStore

    def made(folder):
        return Memories(SqliteStore(64), LexicalEmbedder(64), folder=Path(folder))

    async def main():
        async with made(sys.argv[1]) as memories:
            lowest = os.dup(0)
            os.close(lowest)
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, lowest))
            for n in range(50):
                await memories.store([Draft(content=f"note {n}", category=Category.FACT, importance=0.5)])
            pages = await asyncio.gather(*(memories.search(Search(text="note")) for _ in range(20)))
            assert all(len(page.hits) == 10 for page in pages)
            assert await memories.forget(everything=True) == 50
            assert await memories.check() is None
            try:
                async with made(sys.argv[2]):
                    raise AssertionError("there is no descriptor for it")
            except SettingsError as error:
                print(error)

    asyncio.run(main())
"""


def test_without_descriptors_it_reads_and_writes_on_and_a_new_one_says_why_not(tmp_path):
    (tmp_path / "other").mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(SCARCE), str(tmp_path), str(tmp_path / "other")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Too many open files" in done.stdout


# -- the folder ------------------------------------------------------------------------------------------------------


def opened_store(folder, **more):
    store = SqliteStore(D, **more)
    store.open(folder, "lexical")
    return store


def test_a_folder_of_another_form_or_version_is_refused_and_released(tmp_path):
    opened_store(tmp_path).close()
    with pytest.raises(SettingsError, match=r"holds embeddings as int8/64/lexical.*told int8/32/lexical"):
        SqliteStore(32).open(tmp_path, "lexical")
    with pytest.raises(SettingsError, match="told int8/64/endpoint:m; choose another --data folder"):
        SqliteStore(D).open(tmp_path, "endpoint:m")
    for version, age in ((99, "a newer"), (1, "an older")):
        with closing(sqlite3.connect(tmp_path / FILE)) as db:
            db.execute(f"PRAGMA user_version = {version}")
        with pytest.raises(SettingsError, match=f"{age} version of this server .format {version}, this one is 3"):
            opened_store(tmp_path)
    (tmp_path / FILE).write_bytes(b"no database at all" * 1000)
    with pytest.raises(SettingsError, match="file is not a database"):
        opened_store(tmp_path)


def test_a_folder_of_the_first_form_is_refused_as_older(tmp_path):
    with closing(sqlite3.connect(tmp_path / FILE)) as db:
        db.execute("CREATE TABLE memories (id INTEGER PRIMARY KEY)")
    with pytest.raises(SettingsError, match="an older version"):
        opened_store(tmp_path)


def test_the_file_shrinks_when_memories_are_forgotten(tmp_path):
    async def scenario():
        async with opened(tmp_path) as memories:
            empty = (await memories.facts()).live_bytes
            await memories.store([draft("word " * 200 + str(number)) for number in range(500)])
            full = await memories.facts()
            assert full.memories == 500
            assert full.wal_bytes > 0
            assert await memories.forget(everything=True) == 500
            facts = await memories.facts()
            assert facts.live_bytes <= empty + 4096
            files = [path for path in tmp_path.iterdir() if not path.name.endswith("-shm")]
            assert sum(path.stat().st_size for path in files) < full.live_bytes / 5
            assert facts.wal_bytes == (tmp_path / f"{FILE}-wal").stat().st_size

    asyncio.run(scenario())


def test_forgetting_takes_what_is_named_and_nothing_where_nothing_is(tmp_path):
    async def scenario():
        async with opened(tmp_path) as memories:
            await memories.store([draft(f"note {n}", category) for n in range(4) for category in Category])
            assert await memories.forget() == 0
            assert await memories.forget(id=1) == 1
            assert await memories.forget(id=1) == 0
            assert await memories.forget(category=Category.PLAN) == 4
            assert (await memories.facts()).memories == 19
            left = await walk(memories, Search(text="note", limit=7))
            assert len(left) == 19
            assert all(hit.memory.category is not Category.PLAN for hit in left)
            with pytest.raises(NotFoundError):
                await memories.get(1)
            assert await memories.store([draft("new")]) == [25], "an id is never given twice"

    asyncio.run(scenario())


def test_change_numbers_only_grow_over_deletions_and_restarts(tmp_path):
    vector = LexicalEmbedder(D).embedded(["a"])[0]
    one = Add(drafts=[draft("a", embedding=vector, created_at=1.0)])
    seen = []
    for _ in range(3):
        store = opened_store(tmp_path)
        store.commit([one, one, Forget(everything=True), one])
        store.close()
        with closing(sqlite3.connect(tmp_path / FILE)) as db:
            seen += [row[0] for row in db.execute("SELECT change FROM engrams ORDER BY id") if row[0] not in seen]
            seen += [db.execute("SELECT change FROM state").fetchone()[0]]
    assert seen == sorted(seen)
    assert seen[-1] == 12


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE engrams SET content = 'another' WHERE id = 2",
        "UPDATE engrams SET embedding = zeroblob(68) WHERE id = 2",
        "UPDATE engrams SET metadata = '{}x' WHERE id = 2",
        "UPDATE engrams SET importance = 0.75 WHERE id = 2",
        "UPDATE engrams SET change = 1000 WHERE id = 2",
        "UPDATE engrams SET content = CAST(x'ff00fe' AS TEXT) WHERE id = 2",
        "UPDATE engrams SET category = 'gossip' WHERE id = 2",
        "UPDATE engrams SET checksum = x'00' WHERE id = 2",
    ],
)
def test_a_damaged_row_is_told_and_never_returned(tmp_path, damage):
    events = Events()

    def do_damage():
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as db:
            assert db.execute(damage).rowcount == 1

    async def meets(search, events):
        """One server that is running when it happens, and one that is started after it."""
        async with opened(tmp_path, events=events) as memories:
            if not events.counts[Kind.STORE]:
                await memories.store([draft("a red key"), draft("a red door"), draft("a red hat")])
                do_damage()
                with pytest.raises(CorruptRowError, match="memory 2 is damaged"):
                    await memories.search(search)
            else:
                with suppress(CorruptRowError):  # whoever meets it first: a search, or the index at its start
                    await memories.search(search)
            assert [hit.memory.id for hit in (await memories.search(search)).hits] == [1, 3]
            with pytest.raises(StoreError, match="memory 2 is damaged"):
                await memories.get(2)
            assert "1 memories are damaged" in await memories.check()
            assert [event.facts for event in events.recent][-1:] == [{"what": "corrupt_row", "memory": 2}]

    async def scenario():
        search = Search(text="a red key", limit=10)
        await meets(search, events)
        await meets(search, events)
        assert [event.facts["what"] for event in events.recent].count("corrupt_row") == 2
        async with opened(tmp_path) as memories:
            assert await memories.forget(id=2) == 1
            assert await memories.check() is None

    asyncio.run(scenario())


# -- reading ---------------------------------------------------------------------------------------------------------


def test_readers_that_are_all_busy_are_a_typed_error_and_never_an_empty_answer(tmp_path):
    store = Blocked(D)

    async def scenario():
        async with opened(tmp_path, store=store, readers=2) as memories:
            await memories.store([draft("a red key")])
            store.may_read.clear()
            search = Search(text="a red key")
            reading = [asyncio.create_task(memories.search(search)) for _ in range(2)]
            await until(lambda: bound(memories, "readers").size == 2)
            waiting = [asyncio.create_task(memories.search(search)) for _ in range(32)]
            await until(lambda: bound(memories, "readers_waiting").size == 32)
            started = time.monotonic()
            with pytest.raises(LimitError, match="readers: all 2 are busy and 32 wait already; try again"):
                await memories.search(search)
            assert time.monotonic() - started < 0.5
            waiting[0].cancel()
            for answer in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(answer, (LimitError, asyncio.CancelledError)), answer
            assert time.monotonic() - started < 5, "they wait for about a second"
            assert "nothing can be read: readers: all 2 are busy" in await memories.check()
            inside, outside = bound(memories, "readers"), bound(memories, "readers_waiting")
            assert (inside.size, inside.limit, inside.high_water, inside.rejected) == (2, 2, 2, 32)
            assert (outside.size, outside.limit, outside.high_water, outside.rejected) == (0, 32, 32, 1)
            store.may_read.set()
            for page in await asyncio.gather(*reading):
                assert [hit.memory.content for hit in page.hits] == ["a red key"]
            assert len((await memories.search(search)).hits) == 1
            assert await memories.check() is None

    asyncio.run(scenario())


def test_a_cancelled_search_gives_its_reader_back_when_it_has_finished(tmp_path):
    store = Blocked(D)

    async def scenario():
        async with opened(tmp_path, store=store, readers=1) as memories:
            await memories.store([draft("a red key")])
            for _ in range(3):
                store.may_read.clear()
                task = asyncio.create_task(memories.search(Search(text="key")))
                await until(lambda: bound(memories, "readers").size == 1)
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled()
                assert bound(memories, "readers").size == 1
                store.may_read.set()
                await until(lambda: bound(memories, "readers").size == 0)
            assert len((await memories.search(Search(text="key"))).hits) == 1

    asyncio.run(scenario())


def test_readers_see_nothing_of_a_commit_before_it_and_all_of_it_after_it(tmp_path):
    """Four readers search all the time while memories come and go by tens."""

    async def scenario():
        async with opened(tmp_path) as memories:
            keep = await memories.store([draft(f"kept {n}") for n in range(20)])
            over = asyncio.Event()

            async def reader():
                counts = set()
                while not over.is_set():
                    page = await memories.search(Search(text="kept", limit=1000))
                    ids = {hit.memory.id for hit in page.hits}
                    assert ids >= set(keep)
                    assert len(ids) == len(page.hits)
                    assert all(hit.memory.content.startswith(("kept", "passing")) for hit in page.hits)
                    counts.add(len(page.hits))
                return counts

            readers = [asyncio.create_task(reader()) for _ in range(4)]
            for n in range(60):
                await memories.store([draft(f"passing {n} {m}", Category.PLAN) for m in range(10)])
                assert len((await memories.search(Search(text="passing", limit=1000))).hits) == 30
                assert await memories.forget(category=Category.PLAN) == 10
                assert len((await memories.search(Search(text="passing", limit=1000))).hits) == 20
            over.set()
            assert set().union(*await asyncio.gather(*readers)) >= {20, 30}

    asyncio.run(scenario())


# -- searching -------------------------------------------------------------------------------------------------------


def by_force(folder, search):
    """All that fit, worked out from the file alone."""
    with closing(sqlite3.connect(folder / FILE)) as db:
        rows = db.execute("SELECT id, category, importance, embedding FROM engrams").fetchall()
    found = []
    for number, category, importance, embedding in rows:
        stored = np.frombuffer(embedding, dtype=np.int8, offset=4).astype(np.float64)
        cosine = float(stored @ search.vector.astype(np.float64) / np.linalg.norm(stored))
        if (
            cosine >= search.min_similarity
            and search.category in (None, category)
            and search.min_importance <= importance <= search.max_importance
        ):
            found.append((round(-cosine, 6), number))
    return sorted(found)


def same(hits, expected):
    """As by force, where a millionth is no difference."""
    assert sorted(hit.memory.id for hit in hits) == sorted(number for _, number in expected)
    assert np.allclose([hit.similarity for hit in hits], [-cosine for cosine, _ in expected], atol=2e-6)
    assert [(-hit.similarity, hit.memory.id) for hit in hits] == sorted(
        (-hit.similarity, hit.memory.id) for hit in hits
    )


FEW = unit(np.random.default_rng(7).normal(size=(12, 8)))


def some(chance, count):
    """Memories with few distinct vectors, so that many are equally alike."""
    return [
        draft(f"note {n}", chance.choice(list(Category)[:3]), chance.randrange(11) / 10, embedding=chance.choice(FEW))
        for n in range(count)
    ]


@settings(max_examples=40, deadline=None)
@given(
    chance=st.randoms(use_true_random=True),
    stored=st.integers(0, 80),
    limit=st.integers(1, 12),
    category=st.none() | st.sampled_from(list(Category)[:3]),
    importance=st.sampled_from([(0.0, 1.0), (0.5, 1.0), (0.2, 0.7), (0.3, 0.3), (0.7, 0.2)]),
    least=st.sampled_from([-1.0, -0.3, 0.3, 0.9]),
)
def test_pages_are_exact_for_any_filter_and_stable_while_others_write(
    tmp_path_factory, chance, stored, limit, category, importance, least
):
    folder = tmp_path_factory.mktemp("store")
    query = chance.choice(FEW)
    forgotten = set(chance.sample(range(1, 81), 15))

    async def scenario():
        store = SqliteStore(8)
        async with Memories(store, LexicalEmbedder(8), folder=folder, readers=1) as memories:
            await memories.store(some(chance, stored))
            search = Search(
                vector=query,
                limit=limit,
                category=category,
                min_importance=importance[0],
                max_importance=importance[1],
                min_similarity=max(-1.0, least - 1e-4),  # off the values that rounding decides
            )
            expected = by_force(folder, search)
            same(await walk(memories, search), expected)
            page = await memories.search(search)
            first = [hit.memory.id for hit in page.hits]
            assert (page.next_cursor is None) == (len(expected) <= limit)
            if page.next_cursor is None:
                return
            await memories.store(some(chance, 30))
            await asyncio.gather(*(memories.forget(id=number) for number in forgotten))
            rest = [hit.memory.id for hit in await walk(memories, replace(search, cursor=page.next_cursor))]
            assert len(first) == limit
            known = [number for _, number in expected]
            assert not set(first) & set(rest)
            assert set(rest) == set(known) - set(first) - forgotten, "each once, none that is newer"

    asyncio.run(scenario())


def test_many_equal_memories_come_in_the_order_of_their_ids(tmp_path):
    async def scenario():
        async with opened(tmp_path) as memories:
            await memories.store([draft("the same words") for _ in range(300)])
            await memories.store([draft("other things"), draft("the same words")])
            hits = await walk(memories, Search(text="the same words", limit=7))
            assert [hit.memory.id for hit in hits] == [*range(1, 301), 302, 301]
            assert len({hit.similarity for hit in hits}) == 2

    asyncio.run(scenario())


def test_a_cursor_outlives_a_restart_and_fits_no_other_search(tmp_path):
    search = Search(text="the cache", limit=5)

    async def scenario():
        async with opened(tmp_path) as memories:
            await memories.top_up(40)
            page = await memories.search(search)
            assert len(page.next_cursor) == 52
            every = [hit.memory.id for hit in await walk(memories, search)]
        async with opened(tmp_path) as memories:
            rest = await walk(memories, replace(search, cursor=page.next_cursor, limit=9))
            assert [hit.memory.id for hit in rest] == every[5:]
            others = (
                {"text": "the cat"},
                {"category": Category.PLAN},
                {"min_similarity": 0.5},
                {"min_importance": 0.5},
                {"max_importance": 0.5},
                {"text": None, "vector": LexicalEmbedder(D).embedded(["the cache"])[0]},
            )
            for other in others:
                with pytest.raises(InvalidError, match="cursor is of another search"):
                    await memories.search(replace(search, cursor=page.next_cursor, **other))
            wrong = ["", "x", "é", "A" * 52, page.next_cursor[:-4], page.next_cursor + "AAAA", "-" * 52, "A" * 10**6]
            for cursor in wrong:
                with pytest.raises(InvalidError, match="cursor is none of this server"):
                    await memories.search(replace(search, cursor=cursor))

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"limit": 0}, "limit is 0"),
        ({"limit": 2**63}, "limit is 9223372036854775808"),
        ({"min_similarity": math.nan}, "min_similarity is nan"),
        ({"min_similarity": 1.5}, "min_similarity is 1.5"),
        ({"min_importance": math.nan}, "min_importance is nan"),
        ({"max_importance": -0.1}, "max_importance is -0.1"),
        ({"text": None}, "neither a text nor a vector"),
        ({"vector": np.ones(D, dtype=np.float32)}, "a text and a vector"),
        ({"text": None, "vector": np.ones(D - 1, dtype=np.float32)}, "63 elements"),
        ({"text": "\ud800"}, "character 0 of the query"),
    ],
)
def test_a_search_that_means_nothing_is_refused(tmp_path, wrong, named):
    async def scenario():
        async with opened(tmp_path) as memories:
            with pytest.raises(InvalidError, match=named):
                await memories.search(replace(Search(text="a"), **wrong))

    asyncio.run(scenario())


# -- vectors at the door ---------------------------------------------------------------------------------------------


def packed(*numbers):
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([], "the embedding has 0 elements and this server's have 4"),
        ([1.0, 2.0, 3.0], "has 3 elements"),
        ([1.0] * 5, "has 5 elements"),
        ([0.0, math.nan, 0.0, 1.0], "element 1 of the embedding is nan; give finite"),
        ([0.0, 1.0, math.inf, 1.0], "element 2 of the embedding is inf"),
        ([0.0, 1.0, 1.0, -math.inf], "element 3 of the embedding is -inf"),
        ([0.0, "NaN", 0.0, 1.0], "element 1 of the embedding is 'NaN', a str; give a JSON number"),
        ([0.0, "1.0", 0.0, 1.0], "element 1 of the embedding is '1.0', a str"),
        ([0.0, 1.0, True, 1.0], "element 2 of the embedding is 'True', a bool"),
        ([0.0, 1.0, None, 1.0], "element 2 of the embedding is 'None', a NoneType"),
        ([0.0, 1.0, [1.0], 1.0], "element 2 .* a list"),
        ([0.0, 1.0, 10**400, 1.0], "above 1e308"),
        ([0, 0.0, -0.0, 0], "all zeros"),
        ({"a": 1}, "an embedding cannot be .* a dict"),
        (b"1234", "an embedding cannot be .* a bytes"),
        (True, "an embedding cannot be 'True', a bool"),
        ("", "a text of 0 characters; base64 of 4 little-endian float32 has 24"),
        ("NaN", "a text of 3 characters"),
        (packed(1, 2, 3), "a text of 16 characters"),
        ("!" * 24, "no base64"),
        ("A" * 23 + "=", "has 17 bytes; 4 float32 have 16"),
        (packed(1, math.nan, 0, 0), "element 1 of the embedding is nan"),
        (packed(1, 0, 0, -math.inf), "element 3 of the embedding is -inf"),
        (packed(0, 0, 0, 0), "all zeros"),
    ],
)
def test_a_vector_that_cannot_be_compared_is_refused_at_the_door(given, named):
    with pytest.raises(InvalidError, match=named):
        vector_from(given, 4)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([3, 4, 0, 0], [0.6, 0.8, 0, 0]),
        ([1e38, 1e38, 0.0, 0.0], [0.5**0.5, 0.5**0.5, 0, 0]),
        ([1e308, 0.0, 1e308, 0.0], [0.5**0.5, 0, 0.5**0.5, 0]),
        ([1e-45, 0.0, 0.0, 0.0], [1, 0, 0, 0]),
        ([5e-324, 5e-324, 0.0, 0.0], [0.5**0.5, 0.5**0.5, 0, 0]),
        ([0, 10**300, 0, 0], [0, 1, 0, 0]),
        (packed(3e38, 0, 0, -3e38), [0.5**0.5, 0, 0, -(0.5**0.5)]),
        (packed(1e-45, 0, 0, 1e-45), [0.5**0.5, 0, 0, 0.5**0.5]),
        (np.array([0.0, 3.0, 4.0, 0.0]), [0, 0.6, 0.8, 0]),
    ],
)
def test_a_vector_with_a_direction_is_taken_whatever_its_length(given, expected):
    vector = vector_from(given, 4)
    assert vector.dtype == np.float32
    assert np.allclose(vector, expected, atol=1e-7)


@given(numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=6, max_size=6).filter(any))
def test_any_finite_vector_but_zero_becomes_a_unit_vector_that_int8_keeps_nearly(numbers):
    vector = vector_from(numbers, 6)
    assert np.linalg.norm(vector.astype(np.float64)) == pytest.approx(1, abs=1e-6)
    (stored,) = Int8Codec().encode(vector.reshape(1, -1))
    assert len(stored) == 4 + 6
    assert np.abs(Int8Codec().decode(stored) - vector).max() <= np.abs(vector).max() / 254 * 1.001


# -- embedders -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dimensions", [8, 9, 384, 1536])
def test_embeddings_are_dense_unit_vectors_and_likeness_follows_shared_words(dimensions):
    near, far, base = LexicalEmbedder(dimensions).embedded(["a red key", "umbrella weather", "the red key"])
    assert np.linalg.norm(base) == pytest.approx(1, abs=1e-5)
    assert np.count_nonzero(base) >= dimensions - 1
    assert near @ base > far @ base


def test_a_large_text_does_not_hold_up_the_event_loop():
    async def scenario():
        async with LexicalEmbedder(384) as embedder:
            text = "word and another " * 5000
            task = asyncio.create_task(embedder.embed([text]))
            beats = 0
            while not task.done():
                await asyncio.sleep(0.001)
                beats += 1
            assert beats >= 5, "it took a tenth of a second, and the loop ran meanwhile"
            assert np.array_equal(task.result(), embedder.embedded([text]))
            assert (await embedder.embed([])).shape == (0, 384)

    before = threading.active_count()
    asyncio.run(scenario())
    assert threading.active_count() == before


KEY = "sk-very-secret"


def numbers_of(text, size=D):
    return LexicalEmbedder(size).embedded([text])[0].tolist()


def embeddings(texts, size=D):
    return {"data": [{"index": n, "embedding": numbers_of(text, size)} for n, text in enumerate(texts)]}


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        with server.lock:
            server.asked.append((self.path, dict(self.headers), asked))
            server.now += 1
            server.most = max(server.most, server.now)
        try:
            status, body = server.answer(asked["input"])
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("location", "http://127.0.0.1:1/")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client had enough, which is what is tested
        finally:
            with server.lock:
                server.now -= 1

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.lock, server.asked, server.now, server.most = threading.Lock(), [], 0, 0
        server.answer = lambda texts: (200, embeddings(texts))
        server.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asking(url, timeout_s=5.0):
    return EndpointEmbedder(Endpoint(url=url, model="m-1", dimensions=D, key=KEY, timeout_s=timeout_s))


def test_an_endpoint_is_asked_in_batches_and_answers_in_any_order(endpoint, tmp_path):
    def shuffled(texts):
        answer = embeddings(texts)
        answer["data"].reverse()
        return 200, answer

    endpoint.answer = shuffled
    texts = [f"note {n}" for n in range(150)]

    async def scenario():
        async with asking(endpoint.url) as embedder:
            vectors = await embedder.embed(texts)
            assert np.allclose(vectors, LexicalEmbedder(D).embedded(texts), atol=1e-6)
            assert (await embedder.embed([])).shape == (0, D)
        async with opened(tmp_path, embedder=asking(endpoint.url)) as memories:
            ids = await memories.store([draft(text) for text in texts[:3]])
            page = await memories.search(Search(text="note 2", limit=1))
            assert page.hits[0].memory.id == ids[2]
            assert bound(memories, "embedding_requests").limit == 4

    asyncio.run(scenario())
    path, headers, asked = endpoint.asked[0]
    assert path == "/v1/embeddings"
    assert headers["authorization"] == f"Bearer {KEY}"
    assert asked == {"model": "m-1", "input": texts[:64], "encoding_format": "float"}
    assert [len(one["input"]) for _, _, one in endpoint.asked[:3]] == [64, 64, 22]


def changed(**more):
    def answer(texts):
        said = embeddings(texts)
        said["data"][0].update(more)
        return 200, said

    return answer


WRONG = {
    "status 500": lambda texts: (500, {"error": f"your key {KEY} and {texts}"}),
    "status 401": lambda texts: (401, {"error": KEY}),
    "status 302": lambda texts: (302, b""),
    "2 embeddings for 1 texts": lambda texts: (200, embeddings([*texts, "more"])),
    "0 embeddings for 1 texts": lambda _: (200, {"data": []}),
    "1 embeddings for 1 texts": changed(index=7),
    "has 32 elements and this server's have 64": lambda texts: (200, embeddings(texts, 32)),
    "element 0 of the embedding is nan": changed(embedding=[math.nan] * D),
    "element 1 of the embedding is 'NaN', a str": changed(embedding=[1.0, *["NaN"] * (D - 1)]),
    "all zeros": changed(embedding=[0.0] * D),
    "an embedding is no list of numbers": changed(embedding=packed(*range(D))),
    "no list of embeddings in JSON": lambda _: (200, b"<html>"),
    "no list of embeddings in JSON;": lambda _: (200, {"data": 5}),
    "no list of embeddings in JSON; ": lambda _: (200, b"[" * 20_000),
    "longer than": lambda _: (200, b" " * 10_000_000),
}


@pytest.mark.parametrize("named", WRONG)
def test_an_endpoint_that_answers_wrong_is_an_error_and_nothing_is_stored_or_found(endpoint, tmp_path, named):
    async def scenario():
        async with opened(tmp_path, embedder=asking(endpoint.url)) as memories:
            await memories.store([draft("a red key")])
            endpoint.answer = WRONG[named]
            for call in (memories.store([draft("lost")]), memories.search(Search(text="a red key"))):
                with pytest.raises(EmbeddingError, match=named.rstrip("; ")) as caught:
                    await call
                assert KEY not in str(caught.value)
                assert "then try again" in str(caught.value)
            assert (await memories.facts()).memories == 1

    asyncio.run(scenario())


def test_an_endpoint_that_is_late_or_away_is_an_error_that_says_so(endpoint):
    over = threading.Event()

    def late(texts):
        over.wait(20)
        return 200, embeddings(texts)

    endpoint.answer = late

    async def scenario():
        async with asking(endpoint.url, timeout_s=0.3) as embedder:
            with pytest.raises(EmbeddingError, match=r"did not answer within 0\.3 s"):
                await embedder.embed(["a"])
        async with asking("http://127.0.0.1:1/v1") as embedder:
            with pytest.raises(EmbeddingError, match=r"1:1/v1/embeddings failed: it cannot be asked .ConnectError"):
                await embedder.embed(["a"])

    asyncio.run(scenario())
    over.set()


def test_no_more_than_four_requests_are_made_at_once(endpoint):
    together = threading.Barrier(4)

    def waits(texts):
        together.wait(10)
        return 200, embeddings(texts)

    endpoint.answer = waits

    async def scenario():
        async with asking(endpoint.url) as embedder:
            found = await asyncio.gather(*(embedder.embed([f"note {n}"]) for n in range(12)))
            for n, rows in enumerate(found):
                assert np.allclose(rows[0], numbers_of(f"note {n}"), atol=1e-6)
            inside = embedder.bounds()[0]
            assert (inside.name, inside.size, inside.high_water) == ("embedding_requests", 0, 4)

    asyncio.run(scenario())
    assert endpoint.most == 4


def test_generated_memories_are_the_same_for_the_same_number(tmp_path):
    async def scenario():
        async with opened(tmp_path) as memories:
            await memories.top_up(30)
            await memories.top_up(700)
            await memories.top_up(5)
            assert (await memories.facts()).memories == 700
            for number, expected in enumerate(drafts(700), start=1):
                assert (await memories.get(number)).content == expected.content

    asyncio.run(scenario())
