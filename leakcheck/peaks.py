"""Watches memory while the load runs: the highest reading, which a floor cannot show."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from leakcheck.model.reading import Process
from leakcheck.probes._look import ProcessLook

_EVERY_SECONDS = 0.05
_MOST_PROCESSES = 16
"""Watched at once: 13 µs each, twenty times a second, is 0.4 % of a core at most."""


class Peaks:
    """A context manager: samples RssAnon of the first processes of the tree in a thread of its own.

    Does not see: peaks shorter than 50 ms; processes beyond the first 16 or born while it watches.
    """

    def __init__(self, members: tuple[Process, ...]) -> None:
        self._pids = tuple(member.pid for member in members[:_MOST_PROCESSES])
        self._stop = threading.Event()
        self._highest = 0.0
        self._thread = threading.Thread(target=self._watch, name="peaks", daemon=True)

    def highest(self) -> dict[str, float]:
        """Return the highest sum over the watched processes, in bytes, by resource."""
        return {"memory.anon": self._highest}

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            self._highest = max(self._highest, float(sum(_anon(pid) for pid in self._pids)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()


def _anon(pid: int) -> int:
    try:
        return (ProcessLook(pid).kibibytes("RssAnon") or 0) * 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
