"""Takes snapshots: every probe once, over the tree as it is at one instant."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import leakcheck.probes
from leakcheck import _discover
from leakcheck.model.reading import REGISTRY, Holder, Process, ProcessReadings, Reading, Resource, Snapshot, Unread
from leakcheck.probes import CannotReadError, PreparingProbe, Probe, ProcessProbe, Setting, TreeProbe, TreeView
from leakcheck.probes._inside import Agents, Inside
from leakcheck.probes._look import Kept, ProcessLook
from leakcheck.targets.tree import Identity, Stat

_GONE = (ProcessLookupError, FileNotFoundError)
"""The process ended while it was being read: no reading, and no fault."""


class Looker:
    """Holds one probe of each kind for the length of an audit. Its cost is the target's only through the kernel."""

    def __init__(self, setting: Setting) -> None:
        found = _discover.modules(leakcheck.probes, "Probe")
        self._probes: dict[str, Probe] = {name: module.Probe(setting) for name, module in found.items()}
        self._of_tree = {name: probe for name, probe in self._probes.items() if isinstance(probe, TreeProbe)}
        self._of_process = {name: probe for name, probe in self._probes.items() if isinstance(probe, ProcessProbe)}
        self._preparing = tuple(probe for probe in self._probes.values() if isinstance(probe, PreparingProbe))
        self._agents = Agents(setting.agents, setting.parent is None) if setting.agents is not None else None
        self._started = time.monotonic()
        self._known: set[str] = set()
        self._kept: dict[Identity, Kept] = {}
        """Of the processes of the last snapshot."""
        self.cpu_seconds = 0.0
        """CPU time spent looking so far."""
        self.costs: dict[str, float] = dict.fromkeys(self._probes, 0.0)
        """Seconds by probe, summed."""

    def sizes(self, members: tuple[Process, ...], names: Sequence[str]) -> dict[str, float]:
        """Return how many bytes an entry of each named registry takes, in the first process that tells."""
        found: dict[str, float] = {}
        wanted = [name.removeprefix(REGISTRY) for name in names]
        if self._agents is None or not wanted:
            return found
        for member in members:
            for name, size in self._agents.sizes(member.pid, wanted).items():
                found.setdefault(f"{REGISTRY}{name}", size)
        return found

    def close(self) -> None:
        """Let go of what probes hold open in the target."""
        for one in self._preparing:
            one.close()

    def start_clock(self) -> None:
        """Make now the instant from which snapshots count their seconds."""
        self._started = time.monotonic()

    def elapsed(self) -> float:
        """Seconds since the clock was started."""
        return time.monotonic() - self._started

    def new_resources(self) -> tuple[Resource, ...]:
        """Resources that no earlier call returned."""
        fresh = tuple(
            resource
            for probe in self._probes.values()
            for resource in probe.resources()
            if resource.name not in self._known
        )
        self._known.update(resource.name for resource in fresh)
        return fresh

    def snapshot(self, members: tuple[Process, ...]) -> Snapshot:
        """Read everything once."""
        begun, cpu = time.monotonic(), time.thread_time()
        self._kept = {member.identity: self._kept.get(member.identity) or Kept() for member in members}
        view = _view(members, self._agents, self._kept)
        for one in self._preparing:
            one.prepare(view.looks.values())
        unread: list[Unread] = []
        processes = tuple(self._read_process(member, view, unread) for member in members if member.pid in view.looks)
        tree: list[Reading] = []
        for name, probe in self._of_tree.items():
            tree += self._run(name, partial(probe.read_tree, view), unread, None)
        self.cpu_seconds += time.thread_time() - cpu
        return Snapshot(
            at_seconds=begun - self._started,
            cost_seconds=time.monotonic() - begun,
            processes=tuple(one for one in processes if one.values),
            tree=tuple(tree),
            unread=tuple(unread),
            pause_seconds=max((_pause(look) for look in view.looks.values()), default=0.0),
        )

    def _read_process(self, member: Process, view: TreeView, unread: list[Unread]) -> ProcessReadings:
        look = view.looks[member.pid]
        values: dict[str, float] = {}
        held: dict[str, tuple[Holder, ...]] = {}
        for name, probe in self._of_process.items():
            for reading in self._run(name, partial(probe.read_process, look), unread, member.pid):
                values[reading.resource] = reading.value
                if reading.holders:
                    held[reading.resource] = reading.holders
        return ProcessReadings(process=member, values=values, holders=held)

    def _run(
        self,
        name: str,
        read: Callable[[], Iterable[Reading]],
        unread: list[Unread],
        pid: int | None,
    ) -> list[Reading]:
        begun = time.perf_counter()
        readings: list[Reading] = []
        try:
            readings.extend(read())
        except _GONE:
            pass
        except PermissionError as error:
            unread += _not_read(self._probes[name], readings, f"permission denied: {error.filename}", pid)
        except CannotReadError as error:
            unread += _not_read(self._probes[name], readings, str(error), pid)
        self.costs[name] += time.perf_counter() - begun
        return readings


def _not_read(probe: Probe, readings: list[Reading], reason: str, pid: int | None) -> list[Unread]:
    got = {reading.resource for reading in readings}
    return [
        Unread(resource=resource.name, reason=reason, pid=pid)
        for resource in probe.resources()
        if resource.name not in got
    ]


def _pause(look: ProcessLook) -> float:
    return sum(look.inside.pauses.values()) if isinstance(look.inside, Inside) else 0.0


def _view(members: tuple[Process, ...], agents: Agents | None, kept: Mapping[Identity, Kept]) -> TreeView:
    looks, parents, zombies = {}, {}, set()
    for member in members:
        try:
            stat = Stat.read(member.pid)
        except _GONE:
            continue
        parents[member.pid] = stat.parent
        if stat.state == "Z":
            zombies.add(member.pid)
            continue
        try:
            inside = agents.ask(member.pid, member.started) if agents is not None else None
        except _GONE:
            continue
        looks[member.pid] = ProcessLook(member.pid, inside, kept[member.identity])
    return TreeView(members=members, looks=looks, parents=parents, zombies=frozenset(zombies))
