"""Memory of a process tree while it works, under a cap; and all that is read of it at rest."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

from leakcheck.model.reading import Process, totals
from leakcheck.model.sweep import Amount
from leakcheck.peaks import Peaks
from leakcheck.probes import Setting
from leakcheck.probes._look import Kept, ProcessLook
from leakcheck.probes.memory import Probe
from leakcheck.render import figures
from leakcheck.settle import settle, stirring
from leakcheck.snapshots import Looker
from leakcheck.targets.spawn import Spawned

_LEAST_FREE = 0.04
"""Share of the machine's memory that must stay available: below it the kernel begins to swap or to kill."""
_SETTLE_SECONDS = 1.0
_LOOKS_AT_REST = 8
_MIB = 1024 * 1024
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


class OverCap(Exception):
    """The tree's memory passed the cap. The first argument is the sentence; `items`: stored by then, where known."""

    items: int | None = None


class Meter:
    """Reads one target. Figures are sums over its process tree, in bytes; a figure that cannot be read is left out.

    Peaks are the kernel's own where the tree is one process: exact. With several, processes need not peak together,
    so the sum of their peaks is the upper end and the largest sum that a look saw is the lower one.

    Does not see: memory outside of processes (page cache, tmpfs, GPU); between two looks, processes that came and
    went; swapped-out pages.
    """

    def __init__(self, target: Spawned, data: Path, cap_bytes: float) -> None:
        self._target, self._data, self._cap = target, data, cap_bytes
        self._probe = Probe(Setting())
        self._kept: dict[tuple[int, int], Kept] = {}
        self._seen: dict[str, float] = {}
        self._most_processes = 0
        self._peaks = Peaks(())
        self._doing = "the start"

    def look(self) -> None:
        """Look at memory once. Raises OverCap when anonymous memory is above the cap, or the machine's runs out."""
        members = self._target.members()
        found: dict[str, float] = {}
        for member in members:
            try:
                self._add(found, member)
            except _GONE:
                continue
        self._most_processes = max(self._most_processes, len(members))
        for name, value in found.items():
            self._seen[name] = max(value, self._seen.get(name, 0.0))
        used, free = found.get("memory.anon", 0.0), psutil.virtual_memory()
        if used > self._cap:
            raise OverCap(
                f"its memory was {figures.quantity(used, 'bytes')}, above the cap of "
                f"{figures.quantity(self._cap, 'bytes')}, in {self._doing}"
            )
        if free.available < _LEAST_FREE * free.total:
            raise OverCap(
                f"only {figures.quantity(free.available, 'bytes')} of this machine's memory was left in {self._doing}"
            )

    def begin(self, doing: str) -> None:
        """Forget what was seen, and set the kernel's peaks back; `doing` says in messages what begins."""
        self._seen, self._most_processes, self._doing = {}, 0, doing
        self._peaks = Peaks(self._target.members())
        self.look()

    def most(self) -> dict[str, Amount]:
        """Return the peaks since `begin`: of `memory.anon` and `memory.pss`."""
        self.look()
        kernel = self._peaks.highest().get("memory.anon")
        return {
            name: _peak(self._seen[name], kernel if name == "memory.anon" else None, self._most_processes == 1)
            for name in ("memory.anon", "memory.pss")
            if name in self._seen
        }

    def now(self) -> dict[str, Amount]:
        """Return every quantity once, when descriptors and threads have stopped moving or 1 s has passed."""
        settle(lambda: stirring(self._target.members), _SETTLE_SECONDS)
        return {name: _exact(value, unit) for name, (value, unit) in self._all().items()}

    def at_rest(self, seconds: float) -> dict[str, Amount]:
        """Wait so long, looking now and then; the last value, with the spread of the looks in the later half."""
        until = time.monotonic() + seconds
        seen: list[dict[str, tuple[float, str]]] = []
        for left in range(_LOOKS_AT_REST - 1, -1, -1):
            time.sleep(max(0.0, (until - time.monotonic()) / (left + 1)))
            self.look()
            if left < _LOOKS_AT_REST // 2:
                seen.append(self._all())
        found = {}
        for name, (value, unit) in seen[-1].items():
            values = [one[name][0] for one in seen if name in one]
            found[name] = Amount(value=value, low=min(values), high=max(values), unit=unit)
        return found

    def _add(self, found: dict[str, float], member: Process) -> None:
        look = ProcessLook(member.pid, kept=self._kept.setdefault(member.identity, Kept()))
        for reading in self._probe.read_process(look):
            found[reading.resource] = found.get(reading.resource, 0.0) + reading.value

    def _all(self) -> dict[str, tuple[float, str]]:
        members = self._target.members()
        # A new one each time: it would keep the figure of PSS for some seconds.
        looker = Looker(Setting(parent=self._target.reaper_pid))
        try:
            read = totals(looker.snapshot(members))
            units = {resource.name: resource.unit for resource in looker.new_resources()}
        finally:
            looker.close()
        kinds = [value for name, value in read.items() if name.startswith("fds.")]
        if kinds:
            read["fds"], units["fds"] = sum(kinds), "descriptors"
        for name, key in (("memory.rss", "VmRSS"), ("memory.file", "RssFile")):
            read[name], units[name] = _of_status(members, key), "bytes"
        read["disk"], units["disk"] = _on_disk(self._data), "bytes"
        return {name: (value, units.get(name, "")) for name, value in read.items() if _is_shown(name)}


def _is_shown(name: str) -> bool:
    return name.startswith("memory.") or name in {"fds", "processes", "threads", "disk"}


def _exact(value: float, unit: str) -> Amount:
    return Amount(value=value, low=value, high=value, unit=unit)


def _peak(seen: float, kernel: float | None, alone: bool) -> Amount:
    if kernel is None or kernel < seen:
        return _exact(seen, "bytes")
    return _exact(kernel, "bytes") if alone else Amount(value=kernel, low=seen, high=kernel, unit="bytes")


def _of_status(members: tuple[Process, ...], key: str) -> float:
    total = 0
    for member in members:
        try:
            total += ProcessLook(member.pid).kibibytes(key) or 0
        except _GONE:
            continue
    return float(total * 1024)


def _on_disk(folder: Path) -> float:
    """Blocks taken below a folder, in bytes: sparse files count what they hold. Does not see: files elsewhere."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(place) / name).lstat().st_blocks * 512
            except FileNotFoundError:
                continue
    return float(total)
