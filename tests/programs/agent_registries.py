"""Grows a container of every kind and place, and prints the registries that the agent's census finds.

    python agent_registries.py AGENT_FOLDER

Python 3.8 or later, the standard library; cachetools where it is there.
"""

import collections
import functools
import gc
import importlib.util
import json
import queue
import sys
import threading
import types
import weakref

try:
    import cachetools
except ImportError:
    cachetools = None


def census_class(folder):
    """Load the agent as a target has it: by path, under its private name."""
    spec = importlib.util.spec_from_file_location(
        "_leakcheck_agent", folder + "/__init__.py", submodule_search_locations=[folder]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["_leakcheck_agent"] = package
    spec.loader.exec_module(package)
    return importlib.import_module("_leakcheck_agent.census").Census


class Store:
    history = []  # noqa: RUF012
    MOST = 400

    def __init__(self):
        self.items = {}
        self.buffer = bytearray()
        self.max_items = 500
        self.nested = {"a": []}


class Slotted:
    __slots__ = ("log",)

    def __init__(self):
        self.log = []


class Worker:
    def __init__(self):
        self.ring = collections.deque(maxlen=900)
        self.jobs = queue.Queue(1000)


class LRU(collections.OrderedDict):
    def __init__(self, most):
        super().__init__()
        self.most = most


class Lying(dict):
    """Whose own methods must not be called by a census."""

    def __len__(self):
        raise RuntimeError("the program's own __len__ was called")

    __iter__ = __eq__ = __len__
    __hash__ = None


class Proxy:
    """Whose class is a lie that raises, as in proxies that are not bound."""

    @property
    def __class__(self):
        raise RuntimeError("the program's own __class__ was called")

    def __getattr__(self, name):
        raise RuntimeError("the program's own __getattr__ was called")


class Session:
    """Refers to its container and is referred to by it."""

    def __init__(self):
        self.notes = []


def make():
    seen = set()

    def handler(value):
        seen.add(value)

    return handler


@functools.lru_cache(500)
def squared(value):
    return value * value


@functools.lru_cache(maxsize=None)  # noqa: UP033 (Python 3.8)
def cubed(value):
    return value**3


def default(value, into=[]):  # noqa: B006
    into.append(value)


def keyword(value, *, into={}):  # noqa: B006
    into[value] = value


def generator():
    mine = []
    while True:
        mine.append((yield))


async def coroutine():
    theirs = []
    while True:
        theirs.append(await Step())


class Step:
    def __await__(self):
        return (yield)


GLOBAL, NEST = {}, {"x": {}}
ORDERED, DEFAULT, USER = collections.OrderedDict(), collections.defaultdict(list), collections.UserDict()
store, two, slotted, worker, lying = Store(), [Store(), Store()], Slotted(), Worker(), Lying()
proxies = [Proxy() for _ in range(20)]
handler, cache, simple = make(), LRU(700), types.SimpleNamespace(rows=[])
generated, waiting = generator(), coroutine()
method = [].append
partial = functools.partial(lambda rows, value: rows.append(value), [])
local = threading.local()
local.stash = []
held, weak, weakest = [], weakref.WeakValueDictionary(), weakref.WeakSet()
limited = cachetools.LRUCache(800) if cachetools else None
step, done = threading.Semaphore(0), threading.Semaphore(0)


def running():
    inside = {}
    while True:
        step.acquire()
        for _ in range(100):
            inside[len(inside)] = 1
        done.release()


def grow(start, count=100):
    for n in range(start, start + count):
        GLOBAL[n] = ORDERED[n] = USER[n] = store.items[n] = cache[n] = lying[n] = n
        for one in two:
            one.items[n] = object()
        Store.history.append(n)
        store.buffer.append(1)
        store.nested["a"].append(n)
        slotted.log.append(n)
        worker.ring.append(n)
        worker.jobs.put(n)
        DEFAULT[n].append(n)
        NEST["x"][n] = n
        simple.rows.append(n)
        for call in (handler, squared, cubed, default, keyword, generated.send, method, partial, waiting.send):
            call(n)
        local.stash.append(n)
        one = Session()
        held.append(one)
        weak[n] = one
        weakest.add(one)
        if limited is not None:
            limited[n] = n
    step.release()
    done.acquire()


def main():
    census = census_class(sys.argv[1])()
    threading.Thread(target=running, daemon=True).start()
    next(generated)
    waiting.send(None)
    looks = []
    for number in range(8):
        grow(1 + number * 100)
        gc.collect()
        looks.append(census.look(30.0))
    print(json.dumps({"looks": looks, "registries": census.followed()}))  # noqa: T201
    waiting.close()


if __name__ == "__main__":
    main()
