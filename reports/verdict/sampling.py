"""What tools that watch from outside read: memory, descriptors, threads, children of a process tree, once a second."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

EVERY_SECONDS = 1.0
_LOOK_FOR_TARGET = 0.1
COLUMNS = ("seconds", "rss", "anon", "fds", "threads", "processes", "zombies")


@dataclass(slots=True)
class Samples:
    """Columns of equal length; bytes, pieces, and seconds since the sampler saw the target ready."""

    columns: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in COLUMNS})

    def add(self, row: dict[str, float]) -> None:
        """Append one sample of all columns."""
        for name in COLUMNS:
            self.columns[name].append(row[name])


def tree(pid: int) -> dict[str, float] | None:
    """Sum over a process and its descendants; None once the process is gone.

    A descendant that ends while it is read is left out. Does not see: processes that left the tree.
    """
    try:
        root = psutil.Process(pid)
        members = [root.pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return None
    total = dict.fromkeys(COLUMNS[1:], 0.0)
    for member in members:
        try:
            with open(f"/proc/{member}/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
                status = dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)
            zombie = status["State"].split()[0] == "Z"
            descriptors = 0 if zombie else len(os.listdir(f"/proc/{member}/fd"))  # noqa: PTH208
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            if member == pid:
                return None
            continue
        total["zombies"] += zombie
        total["processes"] += not zombie
        total["fds"] += descriptors
        total["threads"] += 0 if zombie else int(status["Threads"])
        total["rss"] += _bytes(status.get("VmRSS"))
        total["anon"] += _bytes(status.get("RssAnon"))
    return total


def _bytes(kilobytes: str | None) -> float:
    return 0.0 if kilobytes is None else int(kilobytes.split()[0]) * 1024.0


class Sampler(threading.Thread):
    """Waits until the journal names the audited process, then samples its tree until told to stop or it is gone."""

    def __init__(self, journal: Path) -> None:
        super().__init__(name="sampler", daemon=True)
        self.samples = Samples()
        self._journal = journal
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Sample at equal distances of time, whatever a sample takes."""
        pid = self._audited()
        begun, at = time.monotonic(), 0.0
        while pid is not None and not self._stop_asked.wait(max(0.0, begun + at - time.monotonic())):
            row = tree(pid)
            if row is None:
                return
            self.samples.add({"seconds": time.monotonic() - begun, **row})
            at += EVERY_SECONDS

    def stop(self) -> dict[str, list[float]]:
        """End the thread and return what it read."""
        self._stop_asked.set()
        self.join()
        return self.samples.columns

    def _audited(self) -> int | None:
        while not self._stop_asked.wait(_LOOK_FOR_TARGET):
            pid = target_pid(self._journal)
            if pid is not None:
                return pid
        return None


def target_pid(journal: Path) -> int | None:
    """Return the pid in a journal's `target` line; None while there is no whole such line."""
    try:
        lines = journal.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return None
    for line in lines:
        if line.startswith(b'{"event":"target"'):
            return int(json.loads(line)["target"]["pid"])
    return None
