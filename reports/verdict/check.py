"""Starts each mechanism and measures directly whether it keeps what its facts say it keeps.

    python -P reports/verdict/check.py [NAME …] [--healthy] [--draws 2]

A program is started with parameters drawn at random (fewer base objects, to be quick), gets at least 400 requests of
each kind to warm up and then twice the same number, and more where too few pieces would be left to tell the rate. The
pieces are counted from outside (/proc: descriptors, children, zombies, threads, files, memory of Node) and from inside
after a collection (bytes of the C library's malloc, which holds all objects under PYTHONMALLOC=malloc; containers;
tasks). A leaking mechanism is right when both halves grew by rate × operations within 50 %. Of a healthy one only the
numbers are printed, and what its `held` says.

Does not see: a leak that begins after these requests, or that only a pattern of load of its own brings about.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import hosts

REQUESTS = 400
PIECES = 50
"""At least so many pieces are waited for in each half: fewer scatter too much to tell a rate from its half."""
MOST = 40_000
"""Operations of one half at most."""
BYTES_OF_NOISE = 150_000
"""In bytes, the rate is told against what a heap moves by itself."""
CONNECTIONS = 4
STARTS_SECONDS = 20.0
ENDS_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What a program held after some requests."""

    at: float
    counts: dict[str, int]
    containers: dict[str, int]
    """Lengths by identity."""
    bytes: int
    held: int | None


class WrongError(Exception):
    """A program does not end as it should, or answers as it should not."""


class Client:
    """Sends requests over a few connections at a time; half of them ask the server to close."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.failed = 0

    async def play(self, paths: list[str]) -> None:
        """Send all, in the given order, and count the answers that are neither 200 nor 400."""
        left = iter(paths)
        await asyncio.gather(*(self._work(left) for _ in range(CONNECTIONS)))

    async def _work(self, paths: Iterator[str]) -> None:
        streams = None
        for index, path in enumerate(paths):
            close = index % 2 == 1
            if streams is None:
                streams = await asyncio.open_connection("127.0.0.1", self._port)
            status, ended, _ = await self.ask(streams, path, close=close)
            self.failed += status not in {200, 400}
            if ended:
                streams[1].close()
                streams = None
        if streams is not None:
            streams[1].close()

    async def ask(
        self, streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], path: str, *, close: bool
    ) -> tuple[int, bool, bytes]:
        """Send one request; return its status, whether the server closes, and the body."""
        reader, writer = streams
        ending = "close" if close else "keep-alive"
        writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: {ending}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ", 1)[1].split("\r\n", 1)[0])
        return int(head.split(" ", 2)[1]), "connection: close" in head, await reader.readexactly(length)


@contextlib.contextmanager
def started(name: str, parameters: dict[str, Any]) -> Iterator[tuple[int, int, Path]]:
    """Start a mechanism; give its pid, port and temporary folder; end it by SIGTERM and see that nothing is left."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = hosts.command(name, port, parameters)
        if command[0] == "node":
            command.insert(1, "--expose-gc")
        environment = {**os.environ, "TMPDIR": folder, "PYTHONMALLOC": "malloc"}
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL)
        try:
            _wait_for(process, port)
            yield process.pid, port, Path(folder)
            children = _children(process.pid)
            process.terminate()
            if process.wait(10) != 0:
                raise WrongError(f"{name} ended with {process.returncode}")
            if left := _still_there(children):
                raise WrongError(f"{name} left the processes {left}")
            if left_files := list(Path(folder).iterdir()):
                raise WrongError(f"{name} left {left_files}")
        finally:
            process.kill()
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + STARTS_SECONDS
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise WrongError(f"it does not listen: {process.args!r}")


def _still_there(pids: list[int]) -> list[int]:
    """Return those that have not ended after a bounded wait: a kill takes its time."""
    until = time.monotonic() + ENDS_SECONDS
    while left := [pid for pid in pids if _state(pid) not in {"", "Z", "X"}]:
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    return left


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""


def _children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _outside(pid: int, folder: Path) -> tuple[dict[str, int], int]:
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            links.append(str(entry.readlink()))
    states = [_state(child) for child in _children(pid)]
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    counts = {
        "fds": len(links),
        "sockets": sum(link.startswith("socket:") for link in links),
        "processes": sum(state not in {"Z", "X", ""} for state in states),
        "zombies": states.count("Z"),
        "threads": len(list(Path(f"/proc/{pid}/task").iterdir())),
        "files": sum(len(files) for _, _, files in os.walk(folder)),
    }
    return counts, int(status["RssAnon"].split()[0]) * 1024


async def _moment(running: tuple[int, int, Path], client: Client, *, native: bool) -> Moment:
    pid, port, folder = running
    streams = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0.3)  # connections and threads that end are given time to
    _, _, body = await client.ask(streams, hosts.CHECK_PATH, close=True)
    streams[1].close()
    inside = json.loads(body)
    counts, anonymous = _outside(pid, folder)
    counts |= {"tasks": inside.get("tasks", 0), "handles": inside.get("handles", 0)}
    own = inside["malloc"] if "malloc" in inside else inside["external" if native else "heap"]
    return Moment(
        at=time.monotonic(),
        counts=counts,
        containers=inside.get("containers", {}),
        bytes=anonymous if inside.get("mapped") else own,
        held=inside["held"],
    )


def pieces(module: ModuleType, before: Moment, after: Moment) -> float:
    """Return by how much the resource of a mechanism grew between two moments, in its own unit."""
    if module.RESOURCE in {"heap", "native"}:
        return after.bytes - before.bytes
    if module.RESOURCE != "registry":
        return after.counts[module.RESOURCE] - before.counts[module.RESOURCE]
    if after.held is not None and before.held is not None:
        return after.held - before.held
    return max(length - before.containers.get(key, 0) for key, length in after.containers.items())


def _operations(module: ModuleType, parameters: dict[str, Any]) -> int:
    """How many operations of the kind that leaks one half has."""
    rate = module.rate(parameters)
    if rate is None or module.OPERATION is None:
        return REQUESTS
    if module.RESOURCE in {"heap", "native"}:
        piece = max(parameters.get("size", 0), getattr(module, "PIECE", 0), 256)
        noise = 10 * BYTES_OF_NOISE if module.HOST == "node" else BYTES_OF_NOISE
        wanted = max(PIECES * piece, noise) / rate
    else:
        wanted = PIECES / rate
    wanted = max(wanted, 12 * parameters.get("every", 0))
    return min(MOST, max(REQUESTS, int(wanted)))


def _paths(module: ModuleType, operations: int) -> list[str]:
    paths = []
    for template in module.REQUESTS:
        path = template.removeprefix("GET ")
        leaks = module.OPERATION is not None and template.startswith(module.OPERATION + "?")
        paths += [path.replace("{n}", str(index % 200 + 1)) for index in range(operations if leaks else REQUESTS)]
    random.Random(operations).shuffle(paths)
    return paths


async def _looked(module: ModuleType, parameters: dict[str, Any], running: tuple[int, int, Path]) -> list[Moment]:
    client = Client(running[1])
    native = module.RESOURCE == "native"
    paths = _paths(module, _operations(module, parameters))
    warm = _paths(module, REQUESTS)
    await client.play(warm * (1 + parameters.get("onset", 0) // len(warm)))
    moments = [await _moment(running, client, native=native)]
    for _ in range(2):
        began = time.monotonic()
        await client.play(paths)
        if module.OPERATION is None and module.LEAKS:
            await asyncio.sleep(max(0.0, 12 / module.rate(parameters) - (time.monotonic() - began)))
        moments.append(await _moment(running, client, native=native))
    if client.failed:
        raise WrongError(f"{module.__name__}: {client.failed} answers were neither 200 nor 400")
    return moments


def check(name: str, seed: int) -> bool:
    """Check one mechanism with parameters drawn from a seed; print a line; return whether it is right."""
    module = hosts.load(name)
    parameters = {**module.draw(random.Random(seed)), "check": True}
    parameters["base"] = min(parameters["base"], 5_000)
    try:
        with started(name, parameters) as running:
            moments = asyncio.run(_looked(module, parameters, running))
    except WrongError as wrong:
        print(f"{name:22} WRONG {wrong}", flush=True)
        return False
    grown = [pieces(module, *pair) for pair in itertools.pairwise(moments)]
    said = f"{name:22} {module.HOST:8} {module.RESOURCE:10} {module.KIND:13}"
    if not module.LEAKS:
        bytes_, held = [moment.bytes for moment in moments], [moment.held for moment in moments]
        print(f"{said} held {held}, bytes {bytes_}, {moments[-1].counts}", flush=True)
        return True
    operations = _operations(module, parameters)
    spans = [later.at - earlier.at for earlier, later in itertools.pairwise(moments)]
    expected = [module.rate(parameters) * (span if module.OPERATION is None else operations) for span in spans]
    right = all(abs(got - wanted) <= wanted / 2 for got, wanted in zip(grown, expected, strict=True))
    numbers = " ".join(f"{got:.0f}/{wanted:.0f}" for got, wanted in zip(grown, expected, strict=True))
    print(
        f"{said} {'right' if right else 'WRONG'} {numbers} in {operations} operations, {sum(spans):.1f} s", flush=True
    )
    return right


def main() -> int:
    """Check the mechanisms that are named, or all that leak (or are healthy)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--healthy", action="store_true")
    parser.add_argument("--draws", type=int, default=1)
    given = parser.parse_args()
    found = sorted(path.stem for path in hosts.MECHANISMS.glob("*.py"))
    names = given.names or [name for name in found if hosts.load(name).LEAKS is not given.healthy]
    wrong = [f"{name} (draw {seed})" for name in names for seed in range(given.draws) if not check(name, seed)]
    print(f"{len(names)} mechanisms, wrong: {', '.join(wrong) or 'none'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
