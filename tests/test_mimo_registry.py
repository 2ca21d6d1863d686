"""The words that the server is built on: registries with owners and limits, and events with a bound."""

from __future__ import annotations

import json
import logging

import pytest

from mimo_server.errors import InvalidError, LimitError
from mimo_server.supervision.events import Events, Kind
from mimo_server.supervision.owner import Owner
from mimo_server.supervision.registry import Bound, Registry


def bound(size, limit, high_water, rejected):
    return Bound(name="seats", size=size, limit=limit, high_water=high_water, rejected=rejected)


def seats(limit=None):
    registry: Registry[str] = Registry("seats", limit=limit)
    return registry


def test_a_full_registry_turns_away_and_counts_it_and_has_room_again_after_a_removal():
    registry = seats(limit=1)
    with registry.holding("first"):
        with pytest.raises(LimitError, match="seats: 1 at once"):
            registry.add("second")
        assert list(registry) == ["first"]
    assert registry.bound() == bound(0, 1, 1, 1)
    registry.add("third")
    assert registry.bound() == bound(1, 1, 1, 1)


def test_holding_removes_also_when_the_block_raises():
    registry = seats()
    with pytest.raises(ZeroDivisionError), registry.holding("a"):
        _ = 1 / 0
    assert len(registry) == 0


def test_a_registry_without_a_limit_turns_nobody_away():
    registry = seats()
    for number in range(1000):
        registry.add(str(number))
    assert registry.bound() == bound(1000, None, 1000, 0)


def test_a_limit_that_is_lowered_keeps_what_is_there_and_refuses_the_next():
    registry = seats(limit=3)
    keys = [registry.add("a") for _ in range(3)]
    registry.limit = 1
    assert len(registry) == 3
    registry.remove(keys[0])
    with pytest.raises(LimitError):
        registry.add("b")
    registry.limit = 3
    registry.add("b")
    assert registry.bound() == bound(3, 3, 3, 1)


def test_the_high_water_is_the_most_at_once_and_never_falls():
    registry = seats()
    for count in (2, 5, 1):
        keys = [registry.add("a") for _ in range(count)]
        for key in keys:
            registry.remove(key)
    assert registry.bound() == bound(0, None, 5, 0)


def test_a_key_that_is_taken_is_refused_and_the_first_entry_stays_with_its_owner():
    registry, first, second = seats(limit=2), Owner("first"), Owner("second")
    registry.add("a", key="k", owner=first)
    with pytest.raises(InvalidError, match="'k' is there already"):
        registry.add("b", key="k", owner=second)
    assert (len(first), len(second)) == (1, 0)
    second.end()
    assert registry.get("k") == "a"
    assert registry.bound() == bound(1, 2, 1, 0), "a taken key is no matter of the limit"


def test_a_taken_key_in_a_full_registry_is_the_callers_mistake_and_not_the_limits():
    registry = seats(limit=1)
    registry.add("a", key="k")
    with pytest.raises(InvalidError):
        registry.add("b", key="k")


def test_numbers_are_given_where_no_key_is_and_none_is_given_twice():
    registry = seats()
    first = registry.add("a")
    registry.remove(first)
    assert registry.add("b") != first


def test_what_was_removed_is_not_found_and_removing_it_again_is_no_error():
    registry = seats()
    key = registry.add("a")
    assert registry.get(key) == "a"
    registry.remove(key)
    registry.remove(key)
    assert registry.get(key) is None


def test_an_entry_leaves_with_its_owner_and_others_stay():
    registry, ends, lives = seats(), Owner("ends"), Owner("lives")
    registry.add("a", owner=ends)
    registry.add("b", owner=lives)
    registry.add("c")
    registry.add("d", owner=ends)
    ends.end()
    assert list(registry) == ["b", "c"]
    assert registry.sweep() == 0


def test_an_entry_that_was_removed_before_is_no_longer_its_owners():
    registry, owner = seats(), Owner("owner")
    key = registry.add("a", key="k", owner=owner)
    assert len(owner) == 1
    registry.remove(key)
    assert len(owner) == 0, "an owner that lives long must not collect what has gone"
    registry.add("b", key="k")
    owner.end()
    assert registry.get("k") == "b", "the end of the first owner is none of the next entry's business"


def test_an_entry_of_an_owner_that_has_ended_is_gone_at_once():
    registry, owner = seats(), Owner("owner")
    owner.end()
    registry.add("a", owner=owner)
    assert len(registry) == 0


def test_a_sweep_removes_what_an_owner_left_that_died_without_its_end():
    registry, dead, lives = seats(), Owner("dead"), Owner("lives")
    for entry, owner in (("a", dead), ("b", lives), ("c", dead), ("d", None)):
        registry.add(entry, owner=owner)
    assert registry.sweep() == 0
    dead.alive = False  # as if `end` had been skipped
    assert registry.sweep() == 2
    assert list(registry) == ["b", "d"]
    assert registry.sweep() == 0


def test_entries_are_listed_oldest_first_as_they_were_when_asked():
    registry = seats()
    for entry in "abc":
        registry.add(entry, key=entry)
    for key, entry in registry.items():
        assert key == entry
        registry.remove(key)
    assert len(registry) == 0


def test_an_owner_gives_back_newest_first_and_each_once():
    owner, told = Owner("owner"), []
    for number in range(3):
        owner.at_end(lambda number=number: told.append(number))
    take_back = owner.at_end(lambda: told.append("taken back"))
    take_back()
    take_back()
    owner.end()
    owner.end()
    assert told == [2, 1, 0]
    assert not owner.alive


def test_what_is_owned_while_an_owner_ends_is_given_back_too():
    owner, told = Owner("owner"), []
    owner.at_end(lambda: owner.at_end(lambda: told.append("late")) and None)
    owner.end()
    assert told == ["late"]
    assert len(owner) == 0


def test_one_owner_may_have_entries_of_several_registries():
    registries, owner = [seats(), seats()], Owner("owner")
    for registry in registries:
        registry.add("a", owner=owner)
    owner.end()
    assert [len(registry) for registry in registries] == [0, 0]


def test_events_keep_the_last_256_and_count_all():
    events = Events()
    for number in range(1000):
        events.emit(Kind.ALERT, number=number)
    events.emit(Kind.STORE)
    assert [event.facts.get("number") for event in events.recent] == [*range(745, 1000), None]
    assert events.counts == {Kind.ALERT: 1000, Kind.STORE: 1}


def test_a_fact_is_cut_at_200_characters_and_numbers_stay_numbers():
    events = Events()
    events.emit(Kind.SKILL_ENDED, why="x" * 100_000, code=-9, clean=False)
    assert events.recent[0].facts == {"why": "x" * 200, "code": -9, "clean": False}


def test_an_event_is_one_line_of_json_whatever_is_in_it(caplog):
    with caplog.at_level(logging.INFO, "mimo_server.events"):
        Events().emit(Kind.SKILL_ENDED, why='two\nlines\x1b[31m"')
    (message,) = caplog.messages
    assert message.isprintable()
    assert json.loads(message) == {"event": "skill_ended", "why": 'two\nlines\x1b[31m"'}


def test_listeners_are_told_in_order_with_the_event_that_is_kept():
    events, told = Events(), []
    events.listeners += [lambda event: told.append((1, event)), lambda event: told.append((2, event))]
    events.emit(Kind.SWEPT, registry="seats")
    assert told == [(1, events.recent[0]), (2, events.recent[0])]
