"""Bounds that a program's own code keeps, found in its source."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from leakcheck.guards import bound_in_source, guard, guard_of_class, keeps_in_source


def method(body: str, head: str = "") -> str:
    """Return a class whose method has this body."""
    return f"{dedent(head)}\nclass Store:\n    def put(self, key, value):\n{indent(dedent(body).strip(), '        ')}\n"


BOUNDED = {
    "popitem": "if len(self.items) > 500:\n    self.items.popitem(last=False)",
    "pop": "if len(self.items) >= 500:\n    self.items.pop(0)",
    "popleft": "while len(self.items) > 500:\n    self.items.popleft()",
    "clear": "if 500 < len(self.items):\n    self.items.clear()",
    "equal": "if len(self.items) == 500:\n    self.items.clear()",
    "del of an element": "if 500 <= len(self.items):\n    del self.items[next(iter(self.items))]",
    "del of a slice": "if len(self.items) > 500:\n    del self.items[:-500]",
    "a slice of itself": "if len(self.items) > 500:\n    self.items = self.items[-500:]",
    "a slice into itself": "if len(self.items) > 500:\n    self.items[:] = self.items[-500:]",
    "a new empty one": "if len(self.items) > 500:\n    self.items = {}",
    "discard": "while len(self.items) > 500:\n    self.items.discard(next(iter(self.items)))",
    "remove": "if len(self.items) > 500:\n    self.items.remove(min(self.items))",
    "heappop": "if len(self.items) > 500:\n    heapq.heappop(self.items)",
    "not less": "if not len(self.items) < 500:\n    self.items.clear()",
    "else": "if len(self.items) < 500:\n    self.items[key] = value\nelse:\n    self.items.popitem()",
    "and": "if self.on and len(self.items) > 500:\n    self.items.popitem()",
    "in a loop of the body": "if len(self.items) > 500:\n    for old in [*self.items]:\n        del self.items[old]",
    "elif": "if key is None:\n    return\nelif len(self.items) > 500:\n    self.items.popitem()",
    "another holder's": "if len(store.items) > 500:\n    store.items.popitem()",
    "a local of that name": "items = self.items\nif len(items) > 500:\n    items.popitem()",
    "a refusal": "if len(self.items) >= 500:\n    raise TooManyError\nself.items[key] = value",
    "a quiet refusal": "if len(self.items) >= 500:\n    return\nself.items.append(value)",
}


@pytest.mark.parametrize("body", BOUNDED.values(), ids=BOUNDED)
def test_code_that_keeps_a_container_below_a_literal_is_a_guard(body):
    found = guard(method(body), "items", {})
    assert found is not None
    assert found.bound == 500
    assert "500" in found.text
    assert method(body).splitlines()[found.line - 1].strip().endswith(f"{found.text}:")


UNBOUNDED = {
    "a pop on another path": "self.items[key] = value\nif key in self.gone:\n    self.items.pop(key)",
    "a length that is only told": "if len(self.items) > 500:\n    log.warning('many')",
    "another container is shrunk": "if len(self.items) > 500:\n    self.others.popitem()",
    "another container is measured": "if len(self.others) > 500:\n    self.items.popitem()",
    "the same attribute of another object": "if len(self.a.items) > 500:\n    self.b.items.popitem()",
    "trim": "if len(self.items) > 500:\n    self.items.trim()",
    "emptiness": "if len(self.items) > 0:\n    self.items.popitem()",
    "less": "if len(self.items) < 500:\n    self.items.popitem()",
    "only defined, never done": "if len(self.items) > 500:\n    keep(lambda: self.items.clear())",
    "a refusal of something else": "if len(self.items) > 500:\n    return\nself.others.append(value)",
    "an entry is replaced": "if len(self.items) > 500:\n    self.items[key] = []",
    "a longer one": "if len(self.items) > 500:\n    self.items = self.items + [value]",
    "a text": "if len(self.items) > 500:\n    text = 'self.items.popitem()'",
}


@pytest.mark.parametrize("body", UNBOUNDED.values(), ids=UNBOUNDED)
def test_code_that_does_not_keep_it_small_is_no_guard(body):
    assert guard(method(body), "items", {}) is None


@pytest.mark.parametrize(
    ("bound", "head", "numbers", "value"),
    [
        ("self.max_items", "", {"max_items": 64}, 64),
        ("self.config.limit", "", {"limit": 7}, 7),
        ("MOST", "MOST = 1_000", {}, 1000),
        ("MOST", "MOST: int = 10 * 100", {}, 1000),
        ("MOST", "MOST = 1 << 10", {}, 1024),
        ("MOST", "MOST = 2 ** 10", {}, 1024),
        ("self.max_items + 10", "", {"max_items": 64}, 74),
        ("2 * MOST", "MOST = 5", {}, 10),
        ("MOST - 1", "MOST = 5", {}, 4),
        ("self.max_items", "", {}, None),
        ("MOST", "MOST = read()", {}, None),
        ("MOST", "MOST = read()", {"MOST": 12}, 12),
        ("MOST", "if fast:\n    pass\nMOST = 5\nMOST = 6", {}, None),
        ("limit()", "", {}, None),
        ("MOST // 0", "MOST = 5", {}, None),
        ("2 ** 10 ** 10", "", {}, None),
        ("1 << 10_000", "", {}, None),
        ("True", "", {}, None),
    ],
)
def test_the_value_of_a_bound_is_told_where_it_is_known_and_only_there(bound, head, numbers, value):
    found = guard(method(f"if len(self.items) > {bound}:\n    self.items.popitem()", head), "items", numbers)
    assert found is not None
    assert found.bound == value


def test_a_constant_of_the_class_is_a_known_bound():
    source = "class Limits:\n    MOST = 9\n" + method("while len(self.x) > self.MOST:\n    self.x.pop()")
    assert guard(source, "x", {}).bound == 9


def test_a_guard_with_a_known_bound_is_preferred():
    source = method("if len(self.x) > f():\n    self.x.clear()\nif len(self.x) > 5:\n    self.x.clear()")
    assert guard(source, "x", {}).bound == 5


def test_a_guard_in_another_class_is_not_taken_for_ours():
    source = method("if len(self.x) > 5:\n    self.x.clear()")
    assert guard(source, "x", {}, "Store") is not None
    assert guard(source, "x", {}, "Other") is None
    assert guard(source + "class Other(Store): pass\n", "x", {}, "Other") is not None
    assert guard(source, "x", {}, "") is None


@pytest.mark.parametrize(
    "shrink", ["self.popitem(last=False)", "super().popitem(last=False)", "del self[next(iter(self))]"]
)
def test_a_class_that_bounds_itself_is_found_by_its_name(shrink):
    source = (
        "class LRU(OrderedDict):\n    def __init__(self, most):\n        self.most = most\n"
        "    def __setitem__(self, key, value):\n        super().__setitem__(key, value)\n"
        f"        if len(self) > self.most:\n            {shrink}\n"
        "class Plain(OrderedDict): pass\n"
    )
    assert guard_of_class(source, "app.cache.LRU", {"most": 20}).bound == 20
    assert guard_of_class(source, "LRU", {}).bound is None
    assert guard_of_class(source, "app.cache.Plain", {"most": 20}) is None
    assert guard_of_class(source + "class Small(LRU): pass\n", "Small", {"most": 3}).bound == 3


def test_a_long_test_is_cut():
    source = method(f"if len(self.x) > 5 and {' and '.join(f'self.flag_{n}' for n in range(40))}:\n    self.x.clear()")
    assert len(guard(source, "x", {}).text) == 80


@pytest.mark.parametrize("source", ["def (", "print 'two'", "x = \0"])
def test_what_is_no_python_is_an_error_and_not_an_answer(source):
    with pytest.raises((SyntaxError, ValueError)):
        guard(source, "items", {})


def test_a_registry_is_looked_up_by_its_name_and_file(tmp_path: Path):
    file = tmp_path / "store.py"
    file.write_text(method("if len(self.items) > self.most:\n    self.items.popitem()"), encoding="utf-8")
    found = bound_in_source("app.store:Store.items", "dict", str(file), {"most": 3})
    assert found == (3, "store.py:4: len(self.items) > self.most")
    assert bound_in_source("app.store:Other.items", "dict", str(file), {"most": 3}) == (None, "")
    assert bound_in_source("app.store:Store.items[*]", "list", str(file), {"most": 3}) == (None, "")
    assert bound_in_source("dict at app.Thing", "dict", str(file), {}) == (None, "")


def test_a_closure_and_a_global_and_a_class_are_looked_up_too(tmp_path: Path):
    file = tmp_path / "app.py"
    file.write_text(
        "SEEN = []\n"
        "def make():\n    seen = set()\n    def add(x):\n        if len(seen) > 7:\n            seen.clear()\n"
        "def note(x):\n    if len(SEEN) > 8:\n        SEEN.pop()\n"
        "class LRU(dict):\n    def add(self):\n        if len(self) > 9:\n            self.clear()\n",
        encoding="utf-8",
    )
    assert bound_in_source("app:make.add.<seen>", "set", str(file), {})[0] == 7
    assert bound_in_source("app:SEEN", "list", str(file), {})[0] == 8
    assert bound_in_source("app:cache", "app.LRU", str(file), {})[0] == 9


@pytest.mark.parametrize(
    "content", [b"def (", b"\xff\xfe\x00", b"# coding: nonsense\n", b"x = " + b"(" * 5000 + b")" * 5000]
)
def test_a_file_that_cannot_be_read_as_python_tells_no_bound(tmp_path: Path, content: bytes):
    file = tmp_path / "broken.py"
    file.write_bytes(content)
    assert bound_in_source("broken:SEEN", "list", str(file), {}) == (None, "")


def test_a_file_that_is_gone_or_far_too_long_tells_no_bound(tmp_path: Path):
    assert bound_in_source("gone:SEEN", "list", str(tmp_path / "gone.py"), {}) == (None, "")
    assert bound_in_source("gone:SEEN", "list", None, {}) == (None, "")
    long = tmp_path / "long.py"
    long.write_bytes(b"if len(SEEN) > 8: SEEN.pop()\n" + b"#" * (4 << 20))
    assert bound_in_source("long:SEEN", "list", str(long), {}) == (None, "")


TAKES = {
    "a pop by key": "self.items.pop(key, None)",
    "a deletion": "del self.items[key]",
    "a deletion of a slice": "del self.items[:5]",
    "discard": "self.items.discard(key)",
    "clear": "self.items.clear()",
    "another object's": "store.items.popitem()",
    "under another name": "mine = self.items\ndel mine[key]",
    "what is left of it": "self.items = [one for one in self.items if one.fresh]",
    "what is left of it, in place": "self.items[:] = [one for one in self.items if one.fresh]",
    "heappop": "heapq.heappop(self.items)",
}
KEEPS = {
    "appending only": "self.items.append(value)",
    "setting only": "self.items[key] = value",
    "another one is emptied": "self.others.clear()\nself.items.append(value)",
    "in the constructor only": "",
}


@pytest.mark.parametrize("body", TAKES.values(), ids=TAKES)
def test_code_that_takes_something_out_may_let_entries_expire(tmp_path, body):
    path = tmp_path / "store.py"
    path.write_text("class Store:\n    def __init__(self):\n        self.items = {}\n" + indent(method(body), "    "))
    assert not keeps_in_source("store:Store.items", "dict", str(path))


@pytest.mark.parametrize("body", KEEPS.values(), ids=KEEPS)
def test_what_no_code_takes_out_stays(tmp_path, body):
    path = tmp_path / "store.py"
    path.write_text(
        "ITEMS = []\nclass Store:\n    items = None\n    def __init__(self):\n        self.items = {}\n"
        + indent(method(body or "pass"), "    ")
    )
    assert keeps_in_source("store:Store.items", "dict", str(path))
    assert keeps_in_source("store:ITEMS", "collections.deque", str(path))
    assert not keeps_in_source("store:ITEMS", "cachetools.TTLCache", str(path))


def test_of_what_cannot_be_read_nothing_is_known_to_stay(tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("def (")
    assert not keeps_in_source("broken:ITEMS", "dict", str(broken))
    assert not keeps_in_source("gone:ITEMS", "dict", str(tmp_path / "gone.py"))
    assert not keeps_in_source("built:ITEMS", "dict", None)
    assert not keeps_in_source("dict at nothing that names it", "dict", str(broken))
