"""What every engine behind VectorIndex must do, and what the one in files does after anything that happens to files."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from mimo_server.errors import StoreError
from mimo_server.memory import mapped
from mimo_server.memory.codec import quantized
from mimo_server.memory.index import Entries, Fitting, Found, Rank
from mimo_server.memory.mapped import MappedIndex
from mimo_server.memory.record import Category
from mimo_server.memory.vectors import unit

D = 32
CATEGORIES = list(Category)


class Rows:
    """A truth that is held in memory: what a database would have."""

    def __init__(self, count=0, dimensions=D, seed=3):
        chance = np.random.default_rng(seed)
        vectors = np.rint(unit(chance.normal(size=(max(count, 1), dimensions))) * 127 * 3).clip(-127, 127)
        self.vectors = {number + 1: one for number, one in enumerate(unit(vectors)[:count])}
        self.changes = {number: number for number in self.vectors}
        self.reads = 0
        self.may_read = threading.Event()
        self.may_read.set()

    def numbers(self):
        ids = sorted(self.vectors)
        return np.array(ids, dtype=np.int64), np.array([self.changes[number] for number in ids], dtype=np.int64)

    def entries(self, ids):
        assert self.may_read.wait(20)
        self.reads += 1
        there = [number for number in ids if number in self.vectors]
        return Entries(
            ids=there,
            changes=[self.changes[number] for number in there],
            categories=[category(number) for number in there],
            importances=[importance(number) for number in there],
            steps=quantized(np.array([self.vectors[number] for number in there]).reshape(len(there), -1)),
        )

    def there(self, ids):
        return np.array([number for number in ids if number in self.vectors], dtype=np.int64)

    def exact(self, query, fitting=None):
        """All that fit in order, as the rounding of the index allows: rows at 127 steps."""
        found = []
        for number, vector in self.vectors.items():
            if fitting is not None and not (
                fitting.category in (None, category(number))
                and fitting.min_importance <= importance(number) <= fitting.max_importance
            ):
                continue
            steps = quantized(vector.reshape(1, -1))[0].astype(float)
            found.append((-round(float(steps @ query.astype(float) / np.linalg.norm(steps)), 9), number))
        return [number for _, number in sorted(found)]


def category(number):
    return CATEGORIES[number % len(CATEGORIES)]


def importance(number):
    return (number % 100) / 100


def query(seed=9, dimensions=D):
    return unit(np.random.default_rng(seed).normal(size=(1, dimensions)))[0]


def filled(folder, rows):
    """An index that has all of them."""
    index = MappedIndex(len(next(iter(rows.vectors.values()))) if rows.vectors else D)
    found = index.open(folder, rows)
    settled(index)
    return index, found


def settled(index, seconds=20):
    deadline = time.monotonic() + seconds
    while len(index.pending()):
        assert time.monotonic() < deadline, "the index was not filled in time"
        threading.Event().wait(0.002)


@pytest.fixture
def closing():
    opened = []
    yield lambda index: opened.append(index) or index
    for index in opened:
        index.close()


def ids(ranks):
    return [rank.id for rank in ranks]


def walked(index, wanted, step, fitting=None):
    found, after = [], None
    while part := index.nearest(wanted, step, after=after, seen=len(found), fitting=fitting):
        found, after = [*found, *part], part[-1]
    return ids(found)


# -- what every engine does ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fitting",
    [
        None,
        Fitting(category=Category.PLAN),
        Fitting(min_importance=0.3, max_importance=0.3),
        Fitting(category=Category.FACT, min_importance=0.99),
        Fitting(category=Category.FACT, min_importance=0.999),
        Fitting(min_importance=0.2, max_importance=0.8),
    ],
)
@pytest.mark.parametrize("count", [1, 400])
def test_all_pages_together_are_the_exact_order_at_any_selectivity(tmp_path, closing, count, fitting):
    rows = Rows(count)
    index = closing(filled(tmp_path, rows)[0])
    assert walked(index, query(), 37, fitting) == rows.exact(query(), fitting)
    assert index.nearest(query(), 5, after=Rank(-2.0, 0), fitting=fitting) == []


def test_of_many_nearly_all_come_through_and_each_once_in_order(tmp_path, closing):
    rows = Rows(3000)
    index = closing(filled(tmp_path, rows)[0])
    exact, found = rows.exact(query()), walked(index, query(), 37)
    assert len(set(found)) == len(found) > 2950
    assert found == [number for number in exact if number in set(found)]
    assert len(set(found[:10]) & set(exact[:10])) == 10


def test_of_more_equal_vectors_than_are_fetched_the_lowest_ids_come_first(tmp_path, closing):
    rows = Rows(3000)
    rows.vectors = dict.fromkeys(rows.vectors, rows.vectors[1])
    index = closing(filled(tmp_path, rows)[0])
    first = index.nearest(rows.vectors[1], 5)
    assert ids(first) == [1, 2, 3, 4, 5]
    assert ids(index.nearest(rows.vectors[1], 5, after=first[-1], seen=5)) == [6, 7, 8, 9, 10]


def test_what_was_removed_is_not_found_and_what_was_added_is(tmp_path, closing):
    rows = Rows(3000)
    index = closing(filled(tmp_path, rows)[0])
    best = ids(index.nearest(query(), 20))
    gone, kept = best[::2], best[1::2]
    index.remove([*gone, 99_999])
    for number in gone:
        del rows.vectors[number]
    assert ids(index.nearest(query(), 10)) == kept
    rows.vectors[3001], rows.changes[3001] = query(), 3001
    index.add(rows.entries([3001]))
    assert ids(index.nearest(query(), 1)) == [3001]
    index.remove(list(rows.vectors))
    assert index.nearest(query(), 10) == []


def test_searches_that_run_beside_changes_see_each_of_them_whole(tmp_path, closing):
    rows = Rows(4000)
    wanted = query()
    index = closing(filled(tmp_path, rows)[0])
    ended, wrong = threading.Event(), []

    def search():
        while not ended.is_set():
            found = index.nearest(wanted, 10)
            if sorted(found, key=lambda one: (-one.similarity, one.id)) != found or len(set(ids(found))) != 10:
                wrong.append(found)

    searching = [threading.Thread(target=search) for _ in range(3)]
    for one in searching:
        one.start()
    for number in range(4001, 4400):
        rows.vectors[number], rows.changes[number] = query(number), number
        index.reserve(1)
        index.add(rows.entries([number]))
        index.remove([number - 4000])
        del rows.vectors[number - 4000]
    ended.set()
    for one in searching:
        one.join()
    assert wrong == []
    assert set(ids(index.nearest(wanted, 10))) <= set(rows.vectors)


@pytest.mark.parametrize("dimensions", [8, 9, 100, 1536, 3072])
def test_any_number_of_dimensions_is_found_again(tmp_path, closing, dimensions):
    rows = Rows(700, dimensions)
    index = closing(filled(tmp_path, rows)[0])
    for number in (1, 350, 700):
        best = index.nearest(np.asarray(rows.vectors[number], dtype=np.float32), 1)
        assert best[0].similarity == pytest.approx(1.0, abs=1e-3)


# -- the files -------------------------------------------------------------------------------------------------------


def test_a_start_takes_up_what_is_there_and_reads_no_row(tmp_path, closing):
    rows = Rows(900)
    first = filled(tmp_path, rows)[0]
    before = walked(first, query(), 50)
    first.close()
    reads = rows.reads
    index, found = filled(tmp_path, rows)
    closing(index)
    assert found == Found(kept=900)
    assert rows.reads == reads
    assert walked(index, query(), 50) == before


def test_a_start_follows_what_happened_to_the_rows_without_it(tmp_path, closing):
    rows = Rows(900)
    filled(tmp_path, rows)[0].close()
    for number in (3, 500, 900):
        del rows.vectors[number]
    for number in (901, 902):
        rows.vectors[number], rows.changes[number] = query(number), number
    rows.vectors[7], rows.changes[7] = query(7), 950  # another memory under an old id: the database went back in time
    index, found = filled(tmp_path, rows)
    closing(index)
    assert found == Found(kept=896, damaged=1, lacking=2, gone=3)
    assert walked(index, query(), 50) == rows.exact(query())


def test_a_row_that_only_the_tables_own_index_has_lost_is_kept(tmp_path, closing):
    rows = Rows(50)
    filled(tmp_path, rows)[0].close()
    every = rows.numbers
    rows.numbers = lambda: tuple(np.delete(column, [4, 49]) for column in every())
    index, found = filled(tmp_path, rows)
    closing(index)
    assert found == Found(kept=50)
    assert walked(index, query(), 50) == rows.exact(query())


FILES = ("ids", "categories", "importances", "marks", "heads", "tails", "rows")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("seed", range(6))
def test_a_flipped_bit_in_any_file_is_seen_and_repaired(tmp_path, closing, name, seed):
    rows = Rows(300)
    filled(tmp_path, rows)[0].close()
    path = tmp_path / mapped.FOLDER / "1" / name
    data = bytearray(path.read_bytes())
    chance = np.random.default_rng(seed)
    place = int(chance.integers(len(data)))
    data[place] ^= 1 << int(chance.integers(8))
    path.write_bytes(data)
    index, found = filled(tmp_path, rows)
    closing(index)
    unused = name == "marks" and place % 24 >= 20
    assert unused or found.damaged == 1 or found.rebuilt is not None
    assert walked(index, query(), 50) == rows.exact(query())


@pytest.mark.parametrize("name", ["rows", "heads", "tails", "importances"])
def test_damage_while_it_runs_is_an_error_once_and_then_repaired(tmp_path, closing, name):
    rows = Rows(300)
    index = closing(filled(tmp_path, rows)[0])
    best = rows.exact(query())[0]
    path = tmp_path / mapped.FOLDER / "1" / name
    width = {"rows": D, "heads": 64, "tails": 128, "importances": 8}[name]
    with path.open("r+b") as file:
        file.seek(width * (best - 1))
        data = bytearray(file.read(1))
        data[0] ^= 1
        file.seek(width * (best - 1))
        file.write(data)
    with pytest.raises(mapped.DamagedSlotError, match="1 of the memories found are damaged"):
        index.nearest(query(), 10)
    settled(index)
    assert walked(index, query(), 50) == rows.exact(query())


@pytest.mark.parametrize("name", [*FILES, "form.json"])
@pytest.mark.parametrize("left", [0.0, 0.4, 0.99])
def test_a_file_that_was_cut_off_is_seen_and_made_good(tmp_path, closing, name, left):
    rows = Rows(300)
    filled(tmp_path, rows)[0].close()
    path = next((tmp_path / mapped.FOLDER).iterdir()) / name
    os.truncate(path, int(path.stat().st_size * left))
    index, found = filled(tmp_path, rows)
    closing(index)
    assert found.damaged or found.lacking
    assert walked(index, query(), 50) == rows.exact(query())
    index.close()
    again, found = filled(tmp_path, rows)
    closing(again)
    assert found == Found(kept=300)


def test_what_is_pending_is_said_until_it_is_there_and_changes_meanwhile_are_kept(tmp_path, closing):
    rows = Rows(1000)
    rows.may_read.clear()
    index = closing(MappedIndex(D))
    assert index.open(tmp_path, rows) == Found(lacking=1000, rebuilt="there was none")
    assert index.waiting == 1000
    rows.may_read.set()
    settled(index)
    assert index.waiting == 0
    assert walked(index, query(), 50) == rows.exact(query())


def test_slots_of_forgotten_memories_are_given_back_while_searches_go_on(tmp_path, closing, monkeypatch):
    monkeypatch.setattr(mapped, "_FEWEST_DEAD", 100)
    rows = Rows(3000)
    index = closing(filled(tmp_path, rows)[0])
    size = disk(tmp_path)
    for number in range(1, 2001):
        index.remove([number])
        del rows.vectors[number]
        if number % 500 == 0:
            assert ids(index.nearest(query(), 10)) == rows.exact(query())[:10]
    deadline = time.monotonic() + 20
    while disk(tmp_path) > size * 0.7:
        assert time.monotonic() < deadline, "the slots were not moved in time"
        threading.Event().wait(0.005)
    assert walked(index, query(), 50) == rows.exact(query())
    index.close()
    again, found = filled(tmp_path, rows)
    closing(again)
    assert found == Found(kept=1000)


def disk(folder):
    """What is there at the moment: folders and files that are moved meanwhile are not."""
    found = 0
    for inside, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                found += (Path(inside) / name).stat().st_blocks * 512
    return found


def test_a_full_disk_refuses_before_anything_is_written(tmp_path, closing, monkeypatch):
    rows = Rows(10)
    index = closing(filled(tmp_path, rows)[0])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    index.reserve(1)  # a step of slots is reserved at a time
    with pytest.raises(StoreError, match="the index cannot grow, and nothing was changed"):
        index.reserve(5000)
    assert walked(index, query(), 50) == rows.exact(query())
