"""Small real HTTP servers that mechanisms run in, and the runner that starts one mechanism.

    python reports/verdict/hosts.py NAME --port PORT --parameters '{"rate": 0.1, …}'

A mechanism is mechanisms/NAME.py: its facts at module level and a class `Program(hosts.Program)`. Its `answer` is
called once for each request: a coroutine function on the asyncio host, a plain function on threads and gevent. It
returns the body, or None for an ordinary one, or raises Rejected, which is answered with 400. Each request has done
some ordinary work before it gets there. SIGTERM ends a program at once: its children are killed and its folder is
removed. A Node mechanism is NAME.js beside NAME.py and runs in hosts_node.js.

Does not see: whether a mechanism does what its facts say. check.py does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import errno
import gc
import importlib.util
import itertools
import json
import math
import os
import random
import re
import resource
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
MECHANISMS = HERE / "mechanisms"
HEAD_BYTES = 16_384
"""A longer request head ends its connection."""
PR_SET_PDEATHSIG = 1
CHECK_PATH = "/-check"
"""Answered with what the program holds, for check.py, if the parameters have a true "check"."""
DESCRIPTORS = 65_536
"""As many as a server that expects crowds asks for: a leak of one a request must not end the program in a minute."""


class Rejected(Exception):
    """The request was wrong: it is answered with 400."""


@dataclass(eq=False, slots=True, kw_only=True, weakref_slot=True)
class Session:
    """One connection, with whatever a mechanism notes on it."""

    number: int
    requests: int = 0
    state: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False, slots=True, kw_only=True, weakref_slot=True)
class Request:
    """One request: its path without the query, the number in its query (0 if none), its connection."""

    path: str
    n: int
    session: Session


class Program:
    """What a mechanism derives from: parameters, a random stream that is never reset, ordinary work, a folder."""

    closes = False
    """Whether the server ends each connection after one answer: then one request is one session."""
    mapped = False
    """Whether what it keeps lies outside the C library's malloc; for check.py."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        self.random = random.Random(parameters.get("seed", 0))
        self.ordinary = Ordinary(parameters, self)
        self.requests = 0
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """A temporary folder of this program, removed at its end."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="verdict-bench-"))
        return self._folder

    def chance(self, rate: float) -> bool:
        """True in that share of the calls, at random."""
        return self.random.random() < rate

    def pieces(self, rate: float) -> int:
        """How many pieces an operation has that has `rate` on the average: at random, the whole part at least."""
        return int(rate) + (self.random.random() < rate % 1.0)

    def start(self) -> None:
        """Run once before the first request: in the running loop on asyncio, in the main thread otherwise."""

    def answer(self, request: Request) -> Any:
        """Answer one request with text or bytes. Raises Rejected."""
        raise NotImplementedError(request.path)

    def opened(self, session: Session) -> None:
        """Note that a connection begins."""

    def closed(self, session: Session) -> None:
        """Note that a connection has ended, whoever ended it."""

    def held(self) -> int | None:
        """Return how many pieces the mechanism holds now, where check.py can't count these itself."""
        return None

    def end(self) -> None:
        """Give back what outlives a process: children and the folder."""
        try:
            for child in _children():
                with contextlib.suppress(ProcessLookupError):  # reaped meanwhile
                    os.kill(child, signal.SIGKILL)
        finally:
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)


def _children() -> list[int]:
    """Return the children of all threads; a thread that ends meanwhile has given its own to another."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


class Ordinary:
    """What any server does besides: live objects, strings and JSON of random size, a bounded cache, files, sockets."""

    def __init__(self, parameters: dict[str, Any], program: Program) -> None:
        self.base = [{"id": index, "name": f"row {index}"} for index in range(parameters.get("base", 1000) // 2)]
        self.noise = parameters.get("noise", 20)
        self.delay = parameters.get("delay_ms", 0) / 1000.0
        self._program = program
        self._limit = parameters.get("cache", 64)
        self._cache: OrderedDict[tuple[str, int], str] = OrderedDict()
        self._lock = threading.Lock()

    def work(self, request: Request) -> str:
        """Do the ordinary work of one request and return a text for its body."""
        draw = self._program.random
        row = {"n": request.n, "row": [draw.random() for _ in range(draw.randrange(1, self.noise + 1))]}
        text = json.dumps(json.loads(json.dumps(row))) + "x" * draw.randrange(1500)
        with self._lock:
            self._cache[request.path, request.n] = text[: draw.randrange(40, 400)]
            self._cache.move_to_end((request.path, request.n))
            while len(self._cache) > self._limit:
                self._cache.popitem(last=False)
        if draw.random() < 0.03:
            with tempfile.TemporaryFile() as spool:
                spool.write(text.encode())
        if draw.random() < 0.02:
            here, there = socket.socketpair()
            with here, there:
                here.sendall(b"ping")
                there.recv(4)
        return text[:200]


def log_uniform(draw: random.Random, low: float, high: float) -> float:
    """Return a number between the two, each ratio as likely as any other of the same size."""
    return math.exp(draw.uniform(math.log(low), math.log(high)))


def bytes_kept(draw: random.Random, low: float, high: float) -> dict[str, Any]:
    """Return a rate in bytes per operation, and the size in bytes of one piece: one operation in 1 to 64 leaves one."""
    rate = log_uniform(draw, low, high)
    return {"rate": rate, "size": round(min(max(rate * log_uniform(draw, 1, 64), 256, rate), 65_536))}


def ordinary(draw: random.Random) -> dict[str, Any]:
    """Return the parameters of the ordinary work: every mechanism's `draw` begins with these."""
    return {
        "seed": draw.randrange(2**31),
        "base": round(log_uniform(draw, 1_000, 200_000)),
        "noise": draw.randrange(1, 60),
        "cache": draw.randrange(16, 400),
        "delay_ms": 0,
    }


def die_with_parent() -> None:
    """In a child, just forked by the parent's main thread: end when the parent does (Linux, prctl)."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _parsed(head: bytes, session: Session) -> tuple[Request, bool]:
    """Return the request and whether the client keeps the connection."""
    session.requests += 1
    target = head.split(b" ", 2)[1].decode("latin-1")
    path, _, query = target.partition("?")
    number = re.search(r"\bn=(\d+)", query)
    return (
        Request(path=path, n=int(number[1]) if number else 0, session=session),
        b"\nconnection: close" not in head.lower(),
    )


def _framed(status: str, body: str | bytes, *, keep: bool) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    ending = "keep-alive" if keep else "close"
    lines = (f"HTTP/1.1 {status}", "Content-Type: text/plain", f"Content-Length: {len(data)}", f"Connection: {ending}")
    return "\r\n".join((*lines, "", "")).encode() + data


class AsyncioHost:
    """HTTP/1.1 on asyncio streams, one task per connection."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._numbers = itertools.count(1)

    async def serve(self, port: int) -> None:
        """Serve until the process ends."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _finish, self._program)
        self._program.start()
        server = await asyncio.start_server(self._connection, "127.0.0.1", port, limit=HEAD_BYTES, backlog=512)
        await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = Session(number=next(self._numbers))
        self._program.opened(session)
        try:
            keep = True
            while keep:
                keep = await self._exchange(await reader.readuntil(b"\r\n\r\n"), session, writer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            pass  # the client went away, or a leak took all descriptors: it gets no answer
        finally:
            self._program.closed(session)
            writer.close()

    async def _exchange(self, head: bytes, session: Session, writer: asyncio.StreamWriter) -> bool:
        program = self._program
        request, keep = _parsed(head, session)
        keep = keep and not program.closes
        program.requests += 1
        if request.path == CHECK_PATH and program.parameters.get("check"):
            writer.write(_framed("200 OK", json.dumps(_inside(program)), keep=keep))
            return keep
        text = program.ordinary.work(request)
        if program.ordinary.delay:
            await asyncio.sleep(program.ordinary.delay)
        try:
            data = _framed("200 OK", await program.answer(request) or text, keep=keep)
        except Rejected as wrong:
            data = _framed("400 Bad Request", str(wrong), keep=keep)
        writer.write(data)
        await writer.drain()
        return keep


class ThreadsHost:
    """HTTP/1.1 with a thread (or, patched by gevent, a greenlet) per connection; it ends with the connection."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._numbers = itertools.count(1)

    def serve(self, port: int) -> None:
        """Serve until the process ends."""
        self._program.start()
        listener = socket.create_server(("127.0.0.1", port), backlog=512)
        while True:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if error.errno != errno.EMFILE:
                    raise
                time.sleep(0.1)  # a leak took all descriptors: some may come back
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.begin(connection)

    def begin(self, connection: socket.socket) -> None:
        """Serve one connection beside the others."""
        threading.Thread(target=self.connection, args=(connection,), daemon=True).start()

    def connection(self, connection: socket.socket) -> None:
        """Serve one connection to its end."""
        session = Session(number=next(self._numbers))
        self._program.opened(session)
        try:
            with connection:
                self._talk(connection, session)
        except OSError:
            pass  # the client went away, or a leak took all descriptors: it gets no answer
        finally:
            self._program.closed(session)

    def _talk(self, connection: socket.socket, session: Session) -> None:
        rest, keep = b"", True
        while keep:
            while b"\r\n\r\n" not in rest:
                data = connection.recv(HEAD_BYTES)
                if not data or len(rest) > HEAD_BYTES:
                    return
                rest += data
            head, _, rest = rest.partition(b"\r\n\r\n")
            keep = self._exchange(head, session, connection)

    def _exchange(self, head: bytes, session: Session, connection: socket.socket) -> bool:
        program = self._program
        request, keep = _parsed(head, session)
        keep = keep and not program.closes
        program.requests += 1
        if request.path == CHECK_PATH and program.parameters.get("check"):
            connection.sendall(_framed("200 OK", json.dumps(_inside(program)), keep=keep))
            return keep
        text = program.ordinary.work(request)
        if program.ordinary.delay:
            time.sleep(program.ordinary.delay)
        try:
            data = _framed("200 OK", program.answer(request) or text, keep=keep)
        except Rejected as wrong:
            data = _framed("400 Bad Request", str(wrong), keep=keep)
        connection.sendall(data)
        return keep


def _finish(program: Program, *_: int | FrameType | None) -> None:
    program.end()
    os._exit(0)  # at once, whatever threads and tasks a leak has left


class _Mallinfo2(ctypes.Structure):
    """glibc's struct mallinfo2: f4 is hblkhd, f7 is uordblks."""

    _fields_ = [(f"f{index}", ctypes.c_size_t) for index in range(10)]


def _inside(program: Program) -> dict[str, Any]:
    """Return what the program holds, counted right after a collection: bytes of malloc, long containers, tasks."""
    gc.collect()
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = _Mallinfo2
    told = mallinfo2()
    blocks, tracked = sys.getallocatedblocks(), gc.get_objects()
    seen = {id(one): one for one in (*tracked, *gc.get_referents(*tracked))}
    long = {key: len(one) for key, one in seen.items() if isinstance(one, dict | list | set | deque) and len(one) >= 8}
    try:
        tasks = len(asyncio.all_tasks())
    except RuntimeError:
        tasks = 0
    return {
        "malloc": told.f7 + told.f4,
        "blocks": blocks,
        "containers": long,
        "tasks": tasks,
        "threads": threading.active_count(),
        "held": program.held(),
        "mapped": program.mapped,
    }


def load(name: str) -> ModuleType:
    """Import a mechanism by its name. Raises FileNotFoundError."""
    specification = importlib.util.spec_from_file_location(name, MECHANISMS / f"{name}.py")
    if specification is None or specification.loader is None:
        raise FileNotFoundError(name)
    sys.modules.setdefault("hosts", sys.modules[__name__])
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses and pickle look it up
    specification.loader.exec_module(module)
    return module


def host_of(name: str) -> str:
    """Return the host that a mechanism names, without importing it: gevent must patch before that."""
    found = re.search(r'^HOST = "(\w+)"$', (MECHANISMS / f"{name}.py").read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{name} has no line HOST = …")
    return found[1]


def command(name: str, port: int | str, parameters: dict[str, Any]) -> list[str]:
    """Return the command that starts a mechanism; the port may be a placeholder such as `{port}`."""
    options = ["--port", str(port), "--parameters", json.dumps(parameters)]
    if host_of(name) == "node":
        return ["node", str(MECHANISMS / f"{name}.js"), *options]
    return [sys.executable, str(HERE / "hosts.py"), name, *options]


COMMAND = command


def main() -> None:
    """Run one mechanism as a server until SIGTERM."""
    parser = argparse.ArgumentParser(description="run one mechanism of the verdict bench")
    parser.add_argument("name")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--parameters", type=json.loads, default={})
    given = parser.parse_args()
    host = host_of(given.name)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS if hard < 0 else min(hard, DESCRIPTORS), hard))
    if host == "gevent":
        importlib.import_module("gevent.monkey").patch_all()
    program = load(given.name).Program(given.parameters)
    if host == "asyncio":
        asyncio.run(AsyncioHost(program).serve(given.port))
    else:
        signal.signal(signal.SIGTERM, lambda *about: _finish(program, *about))
        ThreadsHost(program).serve(given.port)


if __name__ == "__main__":
    main()
