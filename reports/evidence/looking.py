"""What looking at a process tree from outside costs: CPU time of a snapshot, by probe, beside psutil reading the same.

    python reports/evidence/looking.py            prints JSON
    python reports/evidence/looking.py --rounds 9

Two trees: a typical one (a root with 3 children, 200 descriptors of which 40 are sockets, 10 threads) and one idle
process; and the typical one while its memory and its connections change all the time. Each round takes 300 snapshots of
each, then psutil reads the same of it 300 times, in turn, so that what else the machine does hits both alike. They
come one after the other without a pause; `at_1_hz` is what a watch that looks once a second measured of itself, where
the processor's caches are cold.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any

import psutil

SNAPSHOTS = 300
ROUNDS = 5
WATCH_SECONDS = 30
CHILDREN, DESCRIPTORS, SOCKETS, THREADS = 3, 200, 40, 10
_LEAKCHECK = (sys.executable, "-m", "leakcheck")


def looking(folder: Path, *, rounds: int = ROUNDS, seconds: int = WATCH_SECONDS) -> dict[str, Any]:
    """Measure all trees; times are medians of the rounds."""
    del folder
    return {
        "command": ["python", "reports/evidence/looking.py", "--rounds", str(rounds), "--seconds", str(seconds)],
        "snapshots": SNAPSHOTS,
        "rounds": rounds,
        "result": {kind: _measured(kind, rounds, seconds) for kind in ("typical", "single", "busy")},
    }


def _measured(kind: str, rounds: int, seconds: int) -> dict[str, Any]:
    with _tree(kind) as pid:
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(_ours(pid))
            theirs.append(_psutils(pid))
        watched = _watched(pid, seconds) if seconds else None
    cpu = median(one["cpu_ms"] for one in ours)
    return {
        "processes": ours[-1]["processes"],
        "cpu_ms": round(cpu, 3),
        "cpu_ms_lowest": round(min(one["cpu_ms"] for one in ours), 3),
        "core_percent_at_1_hz": round(cpu / 10, 3),
        "probe_ms": {
            name: round(median(one["probe_ms"][name] for one in ours), 3) for name in sorted(ours[0]["probe_ms"])
        },
        "psutil_cpu_ms": round(median(theirs), 3),
        "ratio_to_psutil": round(median(one["cpu_ms"] / other for one, other in zip(ours, theirs, strict=True)), 3),
        "at_1_hz": watched,
        "values": {one["name"]: one["value"] for one in ours[-1]["resources"] if one["value"] is not None},
        "unread": sorted({one["resource"] for one in ours[-1]["unread"]}),
    }


def _ours(pid: int) -> dict[str, Any]:
    command = [*_LEAKCHECK, "probes", "--pid", str(pid), "--times", str(SNAPSHOTS), "--json"]
    document: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return document


def _psutils(pid: int) -> float:
    """Milliseconds of CPU time for the same set, read by psutil."""
    begun = time.process_time()
    for _ in range(SNAPSHOTS):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with process.oneshot():
                process.status(), process.ppid(), process.num_fds(), process.num_threads()
                process.open_files(), process.net_connections("all"), process.threads()
                process.memory_full_info()
    return 1e3 * (time.process_time() - begun) / SNAPSHOTS


def _watched(pid: int, seconds: int) -> dict[str, float]:
    """What `leakcheck watch` says that its looks took, masking, merging and writing them included."""
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "watch"
        command = [*_LEAKCHECK, "watch", str(pid), "--for", f"{seconds}s", "--out", str(out), "--json"]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode not in (0, 1, 3):
            raise RuntimeError(done.stderr.decode(errors="replace"))
        tool = json.loads((out / "audit.json").read_text())["tool"]
    return {
        "seconds": round(tool["wall_seconds"], 1),
        "core_percent": round(100 * tool["looking_cpu_share"], 3),
    }


@contextmanager
def _tree(kind: str) -> Iterator[int]:
    """Start a tree, wait until it is as it should be, and end it by its process group."""
    command = [sys.executable, __file__, "--be", kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"the tree '{kind}' did not come up")
        yield process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()


def _be(kind: str) -> None:
    """Be the root of such a tree, until stdin ends."""
    kept: list[Any] = []
    if kind != "single":
        for _ in range(CHILDREN):
            if os.fork() == 0:
                signal.pause()
        listener = socket.create_server(("127.0.0.1", 0), backlog=SOCKETS)
        kept.append(listener)
        while len(kept) < SOCKETS - 1:
            kept += (socket.create_connection(listener.getsockname()), listener.accept()[0])
        kept.append(socket.socket(socket.AF_UNIX))
        for _ in range(THREADS - 1 - (kind == "busy")):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
        while len(list(Path("/proc/self/fd").iterdir())) - 1 < DESCRIPTORS:
            kept.append(os.open(__file__, os.O_RDONLY))
        if kind == "busy":
            threading.Thread(target=_keep_busy, args=(listener,), daemon=True).start()
    print("ready", flush=True)
    select.select([sys.stdin], [], [])
    os.killpg(0, signal.SIGKILL)


def _keep_busy(listener: socket.socket) -> None:
    """Ten times a second: other connections than before, and more or less memory."""
    kept: list[Any] = []
    for number in itertools.count():
        for one in kept[:2]:
            one.close()
        kept = [socket.create_connection(listener.getsockname()), listener.accept()[0]]
        kept.append(b"x" * (1_000_000 + 100_000 * (number % 10)))
        time.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=int, default=WATCH_SECONDS, help="of each watch; 0: none")
    parser.add_argument("--be", choices=("typical", "single", "busy"), help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.be:
        _be(wanted.be)
    else:
        print(json.dumps(looking(Path(), rounds=wanted.rounds, seconds=wanted.seconds), indent=1))


ITEMS = {"looking": looking}

if __name__ == "__main__":
    main()
