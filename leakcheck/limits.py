"""Ceilings that growth will hit: descriptors, pids, memory."""

from __future__ import annotations

from pathlib import Path

import psutil

from leakcheck.model.event import Limit
from leakcheck.model.reading import Snapshot

_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60
"""A limit as large as this (cgroup v1 writes 2^63 less a page) is none."""


def limits(snapshot: Snapshot) -> tuple[Limit, ...]:
    """Return the ceilings that apply to the tree of `snapshot`, with what counts against them now.

    RLIMIT_NOFILE is that of the process with the most descriptors; cgroup limits are those of the root's nearest
    ancestor that has one (v1 or v2). Does not see: RLIMIT_NPROC (per user), disk quotas, limits inside the program.
    """
    found: list[Limit] = []
    if not snapshot.processes:
        return ()
    fullest = max(snapshot.processes, key=lambda one: _descriptors(dict(one.values)))
    soft = _nofile(fullest.process.pid)
    if soft is not None:
        found.append(
            Limit(name="RLIMIT_NOFILE", value=soft, now=_descriptors(dict(fullest.values)), resources=("fds.",))
        )
    root = snapshot.processes[0].process.pid
    tasks = ("processes", "zombies", "threads")
    for controller, file, current, resources in (
        ("pids", "pids.max", ("pids.current",), tasks),
        ("memory", "memory.max", ("memory.current",), ("memory.",)),
        ("memory", "memory.limit_in_bytes", ("memory.usage_in_bytes",), ("memory.",)),
    ):
        ceiling = _cgroup_limit(root, controller, file, current[0])
        if ceiling is not None:
            name = f"cgroup {'memory.max' if controller == 'memory' else file}"
            found.append(Limit(name=name, value=ceiling[0], now=ceiling[1], resources=resources))
    memory = psutil.virtual_memory()
    found.append(Limit(name="RAM", value=memory.total, now=memory.total - memory.available, resources=("memory.",)))
    pid_max = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
    in_use = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].split("/")[1])
    found.append(Limit(name="pid_max", value=pid_max, now=in_use, resources=tasks))
    return tuple(found)


def _descriptors(values: dict[str, float]) -> float:
    return sum(value for name, value in values.items() if name.startswith("fds."))


def _nofile(pid: int) -> float | None:
    try:
        soft, _ = psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    return None if soft in (-1, psutil.RLIM_INFINITY) else float(soft)


def _cgroup_limit(pid: int, controller: str, file: str, current: str) -> tuple[float, float] | None:
    """Walk from the process's own cgroup upwards to the nearest one that sets `file`; (limit, in use)."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        mount = _CGROUP / controllers if controllers else _CGROUP
        folder = mount / path.lstrip("/")
        while folder.is_relative_to(mount):
            value = _number(folder / file)
            if value is not None and value < _UNLIMITED:
                return value, _number(folder / current) or 0.0
            folder = folder.parent
    return None


def _number(path: Path) -> float | None:
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # not there, or the word "max"
        return None
