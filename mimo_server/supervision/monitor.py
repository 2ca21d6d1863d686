"""What the server's own process uses, and an alert when that is much."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Self

from mimo_server.errors import SettingsError
from mimo_server.supervision.events import Events, Kind

_CLEARED_BELOW = 0.9
"""Of the threshold: a figure that trembles about it would otherwise raise an alert with each look."""
_STATUS_BYTES = 8192
"""The page takes 1.5 kB."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """One look at the process. None: it could not be read, which is not zero."""

    rss_bytes: int
    anonymous_bytes: int
    fds: int
    fd_share: float
    """Of those that the process may open (RLIMIT_NOFILE)."""
    threads: int
    children: int | None
    """Direct ones, zombies among them."""
    tasks: int
    """Of the event loop, this monitor's among them."""
    loop_lag_seconds: float


THRESHOLDS: Mapping[str, float] = MappingProxyType(
    {
        "anonymous_bytes": 4 * 1024**3,  # a million memories with 384 numbers each take 1.5 GB
        "fd_share": 0.8,
        "threads": 256,
        "children": 128,  # 100 skill processes, and some that are just ending
        "tasks": 10_000,  # 1,000 sessions have about 4 each
        "loop_lag_seconds": 0.25,
    }
)


class Monitor:
    """Looks every so often, emits ALERT at a threshold and again when it is kept, and has the registries swept.

    `lag` and `sweeps` (by the registry's name) are filled in by the app before the start.

    Does not see: what child processes use; memory that C libraries map and the kernel counts as shared.
    """

    def __init__(self, events: Events, *, every: float = 5.0, thresholds: Mapping[str, float] = THRESHOLDS) -> None:
        for name in thresholds:
            if name not in Readings.__slots__:
                raise SettingsError(f"there is no resource {name!r:.70}; there are: {', '.join(Readings.__slots__)}")
        self.lag: Callable[[], float] = lambda: 0.0
        self.sweeps: Mapping[str, Callable[[], int]] = MappingProxyType({})
        self.raised: dict[str, float] = {}
        """The value of each resource that is over its threshold, as it was when that was seen last."""
        self.readings: Readings | None = None
        """The latest; None before the start."""
        self._events = events
        self._every = every
        self._thresholds = dict(thresholds)
        self._status = -1
        self._task: asyncio.Task[None] | None = None
        self._failure: str | None = None

    async def __aenter__(self) -> Self:
        # Kept open: when no file can be opened any more, this is the one that is needed.
        self._status = os.open("/proc/self/status", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.look()
        except BaseException:
            os.close(self._status)
            raise
        self._task = asyncio.create_task(self._keep_looking(), name="monitor")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait({self._task})
        finally:
            os.close(self._status)

    def look(self) -> Readings:
        """Read now, judge against the thresholds, and keep."""
        self.readings = readings = self.read()
        for name, value in asdict(readings).items():
            if value is not None and name in self._thresholds:
                self._judge(name, value, self._thresholds[name])
        return readings

    def read(self) -> Readings:
        """Read the process; a fifth of a millisecond, more with many threads."""
        status = _fields(os.pread(self._status, _STATUS_BYTES, 0))
        fds, most_fds = _open_files(), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return Readings(
            rss_bytes=status[b"VmRSS"] * 1024,
            anonymous_bytes=status[b"RssAnon"] * 1024,
            fds=fds,
            fd_share=0.0 if most_fds == resource.RLIM_INFINITY else fds / most_fds,
            threads=status[b"Threads"],
            children=_children(),
            tasks=len(asyncio.all_tasks()),
            loop_lag_seconds=self.lag(),
        )

    def sweep(self) -> int:
        """Have each registry remove what belongs to nobody any more. An owner that ends properly leaves nothing."""
        found = 0
        for name, sweep in self.sweeps.items():
            if count := sweep():
                self._events.emit(Kind.SWEPT, registry=name, entries=count)
                found += count
        return found

    async def check(self) -> str | None:
        """A problem when a threshold is passed, or when the monitor itself fails."""
        if self._failure is not None:
            return self._failure
        over = [f"{name} is {value:g} (threshold {self._thresholds[name]:g})" for name, value in self.raised.items()]
        return "; ".join(over) or None

    def _judge(self, name: str, value: float, threshold: float) -> None:
        was_raised = name in self.raised
        if value >= threshold or (was_raised and value >= _CLEARED_BELOW * threshold):
            self.raised[name] = value
        else:
            self.raised.pop(name, None)
        if (name in self.raised) != was_raised:
            self._events.emit(Kind.ALERT, resource=name, value=value, threshold=threshold, raised=not was_raised)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                self.look()
                self.sweep()
                self._failure = None
            except Exception as error:  # noqa: BLE001 -- told by `check`, and logged: the monitor must go on looking
                _log.exception("the monitor could not look")
                self._failure = f"the monitor fails: {error!r}"


def _fields(page: bytes) -> dict[bytes, int]:
    """The numbers of /proc/self/status: "VmRSS:    1234 kB"."""
    pairs = (line.partition(b":") for line in page.splitlines())
    return {name: int(words[0]) for name, _, rest in pairs if (words := rest.split()) and words[0].isdigit()}


def _open_files() -> int:
    folder = Path("/proc/self/fd")
    # Linux 6.2 and later say the number as the size of the folder; before that each entry is counted, and the
    # descriptor that reads the folder is one of them.
    return folder.stat().st_size or len(os.listdir(folder)) - 1  # noqa: PTH208 -- names alone, no objects


def _children() -> int | None:
    """Children of each thread; None where the kernel lacks the list, or no file can be opened now."""
    try:
        tasks = os.listdir("/proc/self/task")  # noqa: PTH208 -- likewise
        return sum(_children_of(task) for task in tasks)
    except OSError:
        return None


def _children_of(task: str) -> int:
    folder = Path(f"/proc/self/task/{task}")
    try:
        return len((folder / "children").read_bytes().split())
    except (FileNotFoundError, ProcessLookupError):
        if folder.exists():
            raise
        return 0  # the thread has ended since it was listed
