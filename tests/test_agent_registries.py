"""The containers that grow inside a Python process: found, named, bounded, let go of."""

from __future__ import annotations

import ast
import asyncio
import gc
import importlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import weakref
from collections import OrderedDict, deque
from functools import lru_cache
from pathlib import Path

import pytest

import leakcheck

AGENT = Path(leakcheck.__file__).parent / "agent"
PROGRAM = Path(__file__).parent / "programs" / "agent_registries.py"
pytestmark = pytest.mark.share(8)
MINE = ("bounded", "census", "following", "holding", "naming", "sizing", "walking")


def interpreters() -> list[Path]:
    """Return this Python and the other ones from 3.8 on: on PATH, and in pyenv's folder of versions."""
    pyenv = shutil.which("pyenv")
    roots = [
        os.environ.get("PYENV_ROOT"),
        pyenv and Path(pyenv).resolve().parent.parent,
        Path(sys.base_prefix).parents[1],
    ]
    found = {sys.version_info[:2]: Path(sys.executable)}
    for minor in range(8, 15):
        candidates = [Path(shutil.which(f"python3.{minor}") or "/nowhere")]
        candidates += [one for root in roots if root for one in Path(root, "versions").glob(f"3.{minor}.*/bin/python")]
        for one in candidates:
            if one.is_file() and _runs(one, minor):
                found.setdefault((3, minor), one)
    return list(found.values())


def _runs(python: Path, minor: int) -> bool:
    told = subprocess.run(
        [python, "-c", "import sys; print(sys.version_info[1])"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return told.returncode == 0 and told.stdout.strip() == str(minor)


@pytest.fixture(scope="session")
def agent():
    """The agent as a target has it."""
    before = {name: module for name, module in sys.modules.items() if name.startswith("_leakcheck_agent")}
    spec = importlib.util.spec_from_file_location(
        "_leakcheck_agent", AGENT / "__init__.py", submodule_search_locations=[str(AGENT)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["_leakcheck_agent"] = package
    spec.loader.exec_module(package)
    for name in MINE:
        importlib.import_module(f"_leakcheck_agent.{name}")
    yield package
    for name in [name for name in sys.modules if name.startswith("_leakcheck_agent")]:
        del sys.modules[name]
    sys.modules.update(before)


@pytest.fixture
def census(agent):
    return agent.census.Census()


def rows_of(census) -> dict[str, dict]:
    return {row["name"]: row for row in census.followed()}


def grown(census, grow, looks: int = 3) -> dict[str, dict]:
    """Let something grow by 100 before each of some censuses; return the registries by name."""
    for _ in range(looks):
        for _ in range(100):
            grow()
        gc.collect()
        assert census.look(60.0)["complete"]
    return rows_of(census)


EXPECTED = {
    "__main__:GLOBAL": ("dict", None, ""),
    "__main__:ORDERED": ("collections.OrderedDict", None, ""),
    "__main__:DEFAULT": ("collections.defaultdict", None, ""),
    "__main__:USER": ("dict", None, ""),
    "__main__:NEST[*]": ("dict", None, ""),
    "__main__:Store.items": ("dict", None, ""),
    "__main__:Store.history": ("list", None, ""),
    "__main__:Store.buffer": ("bytearray", None, ""),
    "__main__:Store.nested[*]": ("list", None, ""),
    "__main__:Slotted.log": ("list", None, ""),
    "__main__:Worker.ring": ("collections.deque", 900, "maxlen"),
    "__main__:Worker.jobs": ("collections.deque", 1000, "maxsize"),
    "__main__:cache": ("__main__.LRU", None, ""),
    "__main__:lying": ("__main__.Lying", None, ""),
    "__main__:make.handler.<seen>": ("set", None, ""),
    "__main__:squared (lru_cache)": ("functools._lru_cache_wrapper", 500, "maxsize"),
    "__main__:cubed (lru_cache)": ("functools._lru_cache_wrapper", None, ""),
    "__main__:default.<into>": ("list", None, ""),
    "__main__:keyword.<into>": ("dict", None, ""),
    "__main__:generator.<mine>": ("list", None, ""),
    "__main__:coroutine.<theirs>": ("list", None, ""),
    "__main__:running.<inside>": ("dict", None, ""),
    "__main__:method": ("list", None, ""),
    "__main__:partial[*]": ("list", None, ""),
    "__main__:simple.rows": ("list", None, ""),
    "__main__:local.stash": ("list", None, ""),
    "__main__:held": ("list", None, ""),
}
CACHETOOLS = {"__main__:limited": ("collections.OrderedDict", 800, "maxsize")}


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: str(path.parent.parent.name))
def test_each_kind_of_container_is_found_and_named_by_where_it_hangs(python):
    told = subprocess.run([python, PROGRAM, AGENT], capture_output=True, text=True, timeout=120, check=False)
    assert (told.returncode, told.stderr) == (0, "")
    answer = json.loads(told.stdout)
    assert all(look["complete"] for look in answer["looks"])
    found = {row["name"]: row for row in answer["registries"]}
    limited = found.pop("__main__:limited", None)
    assert {name: (row["type"], row["bound"], row["bound_by"]) for name, row in found.items()} == EXPECTED
    full = {"__main__:squared (lru_cache)": 500, "__main__:Store.items": 2400}
    assert {name: row["length"] for name, row in found.items()} == {name: full.get(name, 800) for name in EXPECTED}
    assert found["__main__:Store.items"]["numbers"] == {"max_items": 500, "MOST": 400}
    assert found["__main__:Store.items"]["containers"] == 3
    assert found["__main__:cache"]["numbers"] == {"most": 700}
    assert {row["file"] for row in answer["registries"]} == {str(PROGRAM)}
    if limited is not None:
        assert (limited["bound"], limited["bound_by"], limited["length"]) == (800, "maxsize", 800)


def test_the_agents_files_are_python_3_8_and_import_nothing_but_the_standard_library():
    for name in MINE:
        tree = ast.parse((AGENT / f"{name}.py").read_text(encoding="utf-8"), feature_version=(3, 8))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert all(one.name.partition(".")[0] in sys.stdlib_module_names for one in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module != "pympler":
                assert node.module.partition(".")[0] in sys.stdlib_module_names


class Holder:
    def __init__(self, thing):
        self.thing = thing


def test_a_container_that_stays_as_it_is_is_not_followed(census):
    still, growing = Holder(list(range(500))), Holder({})
    rows = grown(census, lambda: growing.thing.update({len(growing.thing): 1}))
    mine = [row for name, row in rows.items() if name.endswith(":Holder.thing")]
    assert [(row["type"], row["length"]) for row in mine] == [("dict", 300)]
    assert len(still.thing) == 500


def test_slow_growth_is_followed_when_it_was_seen_twice_in_a_row(census):
    slow = Holder(list(range(1000)))
    seen = []
    for _ in range(4):
        slow.thing.append(1)
        census.look(60.0)
        seen.append(any(name.endswith(":Holder.thing") for name in rows_of(census)))
    assert seen == [False, False, True, True]


def test_growth_that_pauses_between_censuses_is_not_twice_in_a_row(census):
    slow = Holder(list(range(1000)))
    for number in range(6):
        slow.thing.extend([1] * (number % 2))
        census.look(60.0)
    assert not any(name.endswith(":Holder.thing") for name in rows_of(census))


class Other:
    pass


def test_a_container_of_a_session_that_ends_is_let_go_at_the_next_floor(census):
    sessions = [Holder([])]
    rows = grown(census, lambda: sessions[0].thing.append(Other()))
    assert any(name.endswith(":Holder.thing") for name in rows)
    entry = weakref.ref(sessions[0].thing[0])
    sessions.clear()
    assert not any(name.endswith(":Holder.thing") for name in rows_of(census))
    assert entry() is None


def test_a_session_in_a_cycle_with_its_own_container_can_still_be_freed(census):
    sessions = [Holder([])]
    sessions[0].thing.append(sessions[0])
    rows = grown(census, lambda: sessions[0].thing.append(Other()))
    assert any(name.endswith(":Holder.thing") for name in rows)
    gone = weakref.ref(sessions[0])
    sessions.clear()
    gc.collect()
    assert gone() is None
    assert not any(name.endswith(":Holder.thing") for name in rows_of(census))


def test_a_container_that_only_a_function_holds_is_let_go_of_too(census):
    things = [[0] * 8]
    for _ in range(3):
        things[0].extend([Other() for _ in range(100)])
        census.look(60.0)
    assert any(one.thing() is things[0] for one in census._follower._all)
    entry = weakref.ref(things[0][-1])
    things.clear()
    census.followed()
    gc.collect()
    assert entry() is None


def test_what_reads_its_own_lengths_again_and_again_finds_nothing_of_its_own(census):
    growing = Holder({})
    for _ in range(6):
        grown(census, lambda: growing.thing.update({len(growing.thing): [Other()] * 9}), looks=1)
    own = census.own()
    assert not [name for name in rows_of(census) if "_leakcheck_agent" in name or "Census" in name or "Walk" in name]
    assert id(census._follower._all) in own
    assert id(growing.thing) not in own


def test_many_censuses_of_an_idle_program_leave_nothing_behind(agent):
    script = (
        f"import sys, gc; sys.argv[1:] = [{str(AGENT)!r}]; sys.path.insert(0, {str(PROGRAM.parent)!r})\n"
        "import agent_registries as program\n"
        "census = program.census_class(sys.argv[1])()\n"
        "program.step.release = program.done.acquire = lambda: None\n"
        "next(program.generated); program.waiting.send(None)\n"
        "for n in range(4): program.grow(1 + 100 * n); census.look(30.0); census.followed()\n"
        "def blocks(rounds):\n"
        "    for n in range(rounds): gc.collect(); census.look(30.0); census.followed()\n"
        "    gc.collect(); return sys.getallocatedblocks()\n"
        "first = blocks(20); print(blocks(40) - first); program.waiting.close()\n"
    )
    for python in interpreters():
        told = subprocess.run([python, "-c", script], capture_output=True, text=True, timeout=200, check=False)
        assert told.stderr == ""
        assert abs(int(told.stdout)) < 50, python


def test_no_more_than_64_are_followed_and_those_that_grow_most_are_kept(census):
    many = [Holder([]) for _ in range(100)]
    for _ in range(3):
        for number, one in enumerate(many):
            one.thing.extend([0] * (100 + number))
        census.look(60.0)
    lengths = {len(one.thing()) for one in census._follower._all}
    assert len(census._follower._all) == 64
    assert {len(one.thing) for one in many[-30:]} <= lengths


def test_a_census_without_time_says_that_it_is_not_complete_and_later_ones_go_on(census):
    growing = Holder({})
    ballast = [[] for _ in range(50_000)]
    first = census.look(0.0)
    assert first["complete"] is False
    for _ in range(400):
        growing.thing.update({len(growing.thing) + n: 1 for n in range(100)})
        census.look(0.0)
        if any(one.thing() is growing.thing for one in census._follower._all):
            break
    else:
        pytest.fail(f"never found beside {len(ballast)} others")


def test_a_queue_of_asyncio_is_named_by_its_place(census):
    place = Holder(asyncio.Queue(5000))
    rows = grown(census, lambda: place.thing.put_nowait(1))
    [row] = [row for name, row in rows.items() if name.endswith(":Holder.thing")]
    assert (row["type"], row["length"], row["bound"], row["bound_by"]) == ("collections.deque", 300, 5000, "maxsize")


def test_a_cache_of_cachetools_is_one_registry_with_its_bound(census):
    cachetools = pytest.importorskip("cachetools")
    for kind in (cachetools.LRUCache, cachetools.LFUCache, cachetools.FIFOCache):
        place = Holder(kind(250))
        rows = grown(census, lambda place=place: place.thing.__setitem__(len(place.thing) + id(object()), 1), looks=5)
        mine = [row for name, row in rows.items() if name.endswith(":Holder.thing")]
        assert [(row["length"], row["bound"], row["bound_by"]) for row in mine] == [(len(place.thing), 250, "maxsize")]
        assert not [name for name in rows if "cachetools" in name]
        del place


def test_a_cache_of_cachetools_that_weighs_its_entries_has_no_bound_in_entries(census):
    cachetools = pytest.importorskip("cachetools")
    place = Holder(cachetools.LRUCache(10_000, getsizeof=lambda _: 5))
    rows = grown(census, lambda: place.thing.__setitem__(len(place.thing), 1))
    [row] = [row for name, row in rows.items() if name.endswith(":Holder.thing")]
    assert (row["bound"], row["bound_by"]) == (None, "")


def test_a_global_is_named_by_the_module_that_assigns_it_not_by_one_that_imports_it(census, tmp_path, monkeypatch):
    (tmp_path / "zz_definer.py").write_text("SESSIONS = {}\n", encoding="utf-8")
    (tmp_path / "aa_importer.py").write_text("from zz_definer import SESSIONS\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importer = importlib.import_module("aa_importer")
    try:
        rows = grown(census, lambda: importer.SESSIONS.update({len(importer.SESSIONS): 1}))
        assert rows["zz_definer:SESSIONS"]["file"] == str(tmp_path / "zz_definer.py")
        assert "aa_importer:SESSIONS" not in rows
    finally:
        del sys.modules["aa_importer"], sys.modules["zz_definer"]


def test_a_bound_of_zero_or_none_is_no_bound(agent):
    bound = agent.bounded.bound_of
    assert bound(deque()).value is None
    assert bound(deque(maxlen=7)) == (7, "maxlen", {})
    assert bound(lru_cache(maxsize=None)(len)).value is None
    assert bound(lru_cache(maxsize=9)(len)) == (9, "maxsize", {})
    assert bound(OrderedDict()).value is None


def test_numbers_of_an_owner_are_those_that_can_be_bounds_the_telling_ones_first(agent):
    class Owner:
        def __init__(self):
            self.on, self.one, self.ratio = True, 1, 0.5
            for number in range(10):
                setattr(self, f"field_{number}", 100 + number)
            self.capacity = 50

        @property
        def limit(self):
            raise RuntimeError("a property of the program's own was called")

    numbers = agent.bounded.bound_of({}, Owner()).numbers
    assert next(iter(numbers.items())) == ("capacity", 50)
    assert len(numbers) == 8
    assert not {"on", "one", "ratio", "limit"} & set(numbers)


def lent() -> str:
    return str(Path(pytest.importorskip("pympler").__file__).parents[1])


def test_sizes_tell_what_an_entry_holds_with_a_pympler_that_is_lent(census):
    place = Holder({})
    name = next(
        name
        for name in grown(census, lambda: place.thing.update({len(place.thing): bytearray(10_000)}))
        if name.endswith(":Holder.thing")
    )
    path = list(sys.path)
    told = census.sizes([name, "nobody:knows"], lent(), 30.0)
    assert told["problem"] is None
    assert told["sizes"][name]["entries"] == 20
    assert 10_000 < told["sizes"][name]["bytes_per_entry"] < 10_500
    assert set(told["sizes"]) == {name}
    assert sys.path == path


def test_sizes_without_pympler_are_those_of_the_entries_alone_and_say_so(tmp_path):
    script = (
        "import sys; sys.path.insert(0, {programs!r})\n"
        "import agent_registries as program, json\n"
        "program.census_class({agent!r})\n"
        "from _leakcheck_agent import sizing\n"
        "sys.modules['pympler'] = None\n"
        "print(json.dumps([sizing.sizes({{'x': [[b'1' * 1000] * 50]}}, {lend!r}, 5.0), {lend!r} in sys.path]))\n"
    ).format(programs=str(PROGRAM.parent), agent=str(AGENT), lend=str(tmp_path))
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    answer, left = json.loads(told.stdout)
    assert answer["sizes"] == {"x": {"entries": 20, "bytes_per_entry": sys.getsizeof(b"1" * 1000)}}
    assert "pympler cannot be imported" in answer["problem"]
    assert left is False


@pytest.mark.parametrize(
    "container", [[1] * 50, deque([1] * 50), set(range(50)), dict.fromkeys(range(50)), OrderedDict.fromkeys(range(50))]
)
def test_twenty_entries_are_sampled_and_no_more(agent, container):
    assert len(agent.sizing.newest(container)) == 20


def test_the_newest_entries_are_sampled_where_there_is_an_order(agent):
    assert sorted(agent.sizing.newest(list(range(50)))) == [(n,) for n in range(30, 50)]
    assert sorted(agent.sizing.newest(deque(range(50)))) == [(n,) for n in range(30, 50)]
    assert sorted(agent.sizing.newest({n: n for n in range(50)})) == [(n, n) for n in range(30, 50)]
    assert agent.sizing.newest(bytearray(50)) == []


def test_sizes_without_time_tell_nothing_and_say_so(agent):
    told = agent.sizing.sizes({"x": [[1, 2, 3]]}, lent(), -1.0)
    assert told["sizes"] == {}
    assert "x" in told["problem"]


def test_an_entry_that_cannot_be_measured_is_a_problem_and_does_not_raise(agent):
    class Broken:
        def __sizeof__(self):
            raise RuntimeError("no size")

    told = agent.sizing.sizes({"x": [[Broken()]], "y": [[1]]}, lent(), 30.0)
    assert set(told["sizes"]) >= {"y"}
    assert "x" in told["sizes"] or "no size" in told["problem"]
