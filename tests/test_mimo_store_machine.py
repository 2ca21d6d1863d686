"""The store against a plain dictionary: whatever is stored, searched and forgotten, and however it ends.

A crash is a copy of the folder as it is at that instant, opened instead of the folder: what a killed process leaves.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mimo_server.errors import NotFoundError
from mimo_server.memory import mapped
from mimo_server.memory import store as store_module
from mimo_server.memory.codec import quantized
from mimo_server.memory.record import Add, Category, Draft, Forget, Order, Retire, Search
from mimo_server.memory.store import SqliteStore
from mimo_server.memory.vectors import unit

D = 16
CATEGORIES = st.sampled_from(list(Category)[:3])
IMPORTANCES = st.sampled_from([0.0, 0.25, 0.5, 1.0])
PLACES = ("before_commit", "committed", "indexed", "sealed")
_ADD = st.tuples(st.just("add"), CATEGORIES, IMPORTANCES, st.integers(1, 12))
_FORGET = st.tuples(st.just("forget"), st.integers(-1, 200))
CHANGES = st.one_of(_ADD, _ADD, _ADD, _FORGET, _FORGET, st.tuples(st.just("forget_category"), CATEGORIES))
_MANY = 60
"""Memories, from which on all may be forgotten at once: before, the store would never grow."""


class Machine(RuleBasedStateMachine):
    """`known` is the dictionary: number → (content, category, importance, row of steps)."""

    def __init__(self):
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="machine-"))
        self.folder = self.root / "0"
        self.folder.mkdir()
        self.lives = 0
        self.vectors = np.random.default_rng(11)
        self.known = {}
        self.given = 0
        self.store = self.reader = None

    @initialize()
    def begin(self):
        self.open()

    def open(self):
        self.store = SqliteStore(D)
        self.store.open(self.folder, "lexical")
        assert self.store.opened.lost_changes == 0
        self.reader = self.store.reader()

    def end(self):
        self.reader.close()
        self.store.close()

    def teardown(self):
        if self.reader is not None:
            self.end()
        shutil.rmtree(self.root)

    # -- what is done to both ----------------------------------------------------------------------------------------

    @rule(changes=st.lists(CHANGES, min_size=1, max_size=4))
    def some_changes(self, changes):
        self.change(changes)

    def change(self, changes):
        made, expected = self.planned(changes)
        assert self.store.commit(made) == expected

    @rule(most=st.integers(0, 40), order=st.sampled_from(list(Order)))
    def retire(self, most, order):
        self.change([("retire", most, order)])

    @precondition(lambda self: len(self.known) > _MANY)
    @rule()
    def forget_everything(self):
        self.change([("forget_everything",)])

    @rule(changes=st.lists(CHANGES, min_size=1, max_size=3), place=st.sampled_from(PLACES))
    def crash_in_a_commit(self, changes, place):
        before = dict(self.known), self.given
        made, _ = self.planned(changes)
        copies = []
        real = store_module.reached
        store_module.reached = lambda name: copies.append(self.copied()) if name == place else None
        try:
            self.store.commit(made)
        finally:
            store_module.reached = real
        if place == "before_commit":
            self.known, self.given = before
        self.end()
        self.folder = copies[0]
        self.open()

    @rule()
    def crash(self):
        copy = self.copied()
        self.end()
        self.folder = copy
        self.open()

    @rule()
    def end_and_start(self):
        self.end()
        self.open()

    def copied(self):
        """The folder as it is now; what the index does meanwhile on its own thread waits."""
        self.lives += 1
        deadline = time.monotonic() + 20
        while True:
            copy = self.root / str(self.lives)
            try:
                with self.store._index._lock:
                    return shutil.copytree(self.folder, copy)
            except (shutil.Error, FileNotFoundError):  # slots that had moved were being removed
                assert time.monotonic() < deadline
                shutil.rmtree(copy, ignore_errors=True)
                threading.Event().wait(0.002)

    def planned(self, changes):
        """As the store takes them, and what it must answer; the dictionary has them from now on."""
        made, expected = [], []
        for one in changes:
            match one:
                case ("add", category, importance, number):
                    made.append(Add(drafts=[self.draft(category, importance) for _ in range(number)]))
                    expected.append([self.kept(draft) for draft in made[-1].drafts])
                case ("forget", place):
                    ids = sorted(self.known)
                    wanted = ids[place % len(ids)] if ids and place >= 0 else self.given + 1000
                    made.append(Forget(id=wanted))
                    expected.append(self.lost([wanted]))
                case ("forget_category", category):
                    made.append(Forget(category=category))
                    expected.append(self.lost([number for number, row in self.known.items() if row[1] == category]))
                case ("forget_everything",):
                    made.append(Forget(everything=True))
                    expected.append(self.lost(list(self.known)))
                case ("retire", most, order):
                    made.append(Retire(before=None, most=most, order=order, limit=20))
                    worth = {number: row[2] if order is Order.IMPORTANCE else 0 for number, row in self.known.items()}
                    ids = sorted(worth, key=lambda number: (worth[number], number))
                    expected.append(self.lost(ids[: max(0, min(20, len(ids) - most))]))
        return made, expected

    def draft(self, category, importance):
        vector = unit(self.vectors.normal(size=(1, D)))[0]
        content = f"note {self.vectors.integers(1 << 30)}"
        return Draft(content=content, category=category, importance=importance, embedding=vector, created_at=1.0)

    def kept(self, draft):
        self.given += 1
        steps = quantized(draft.embedding.reshape(1, -1))[0].astype(np.float64)
        self.known[self.given] = (draft.content, draft.category, draft.importance, steps)
        return self.given

    def lost(self, ids):
        return sum(self.known.pop(number, None) is not None for number in ids)

    # -- what both must say ------------------------------------------------------------------------------------------

    @rule(limit=st.integers(1, 20), category=st.none() | CATEGORIES, least=IMPORTANCES, seed=st.integers(0, 5))
    def search(self, limit, category, least, seed):
        query = unit(np.random.default_rng(seed).normal(size=(1, D)))[0]
        wanted = Search(vector=query, limit=limit, category=category, min_importance=least)
        found = []
        while True:
            page = self.reader.search(wanted, query)
            found += [(hit.memory.id, hit.memory.content) for hit in page.hits]
            if page.next_cursor is None:
                break
            assert len(page.hits) == limit
            wanted = Search(vector=query, limit=limit, category=category, min_importance=least, cursor=page.next_cursor)
        fit = [number for number, row in self.known.items() if category in {None, row[1]} and row[2] >= least]
        near = {number: float(self.known[number][3] @ query / np.linalg.norm(self.known[number][3])) for number in fit}
        expected = sorted(fit, key=lambda number: (-round(near[number], 9), number))
        assert found == [(number, self.known[number][0]) for number in expected]

    @rule(place=st.integers(0, 300))
    def get(self, place):
        number = place + 1
        if number in self.known:
            assert self.reader.get(number).content == self.known[number][0]
        else:
            with pytest.raises(NotFoundError):
                self.reader.get(number)

    @invariant()
    def as_many(self):
        if self.store is not None:
            assert self.store.facts.memories == len(self.known)
            assert self.store.trouble is None
            assert not self.store.corrupt


def test_the_store_is_a_dictionary_that_survives(monkeypatch):
    monkeypatch.setattr(mapped, "_FEWEST_DEAD", 8)  # so that slots move all the time
    monkeypatch.setattr(mapped, "_COPIED_AT_ONCE", 16)
    monkeypatch.setattr(mapped, "_FILLED_AT_ONCE", 8)
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
