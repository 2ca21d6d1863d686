"""How high memory rose while the load ran, which a floor cannot show."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from leakcheck.model.reading import Process
from leakcheck.probes._look import ProcessLook

_RESET_PEAK = "5"
"""Written to /proc/PID/clear_refs it sets the peak back to the present size, and touches nothing else (proc(5))."""
_MOST_PROCESSES = 32


class Peaks:
    """The kernel's own peak of each process between two moments: exact, and free while the load runs.

    Does not see: processes born in between; which of anonymous and file pages the peak was made of (file pages are
    taken as they are afterwards); processes of another user.
    """

    def __init__(self, members: Iterable[Process]) -> None:
        """Set the peaks back."""
        self._pids = [member.pid for member in list(members)[:_MOST_PROCESSES] if _reset(member.pid)]

    def highest(self) -> dict[str, float]:
        """Return the sum of the processes' peaks of anonymous memory since then, in bytes, by resource."""
        found = [peak for pid in self._pids if (peak := _peak(pid)) is not None]
        return {"memory.anon": float(sum(found))} if found else {}


def _reset(pid: int) -> bool:
    try:
        Path(f"/proc/{pid}/clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    except OSError:  # gone, a zombie, or not ours to write to: no peak of it
        return False
    return True


def _peak(pid: int) -> int | None:
    look = ProcessLook(pid)
    try:
        peak, file, shared = (look.kibibytes(key) for key in ("VmHWM", "RssFile", "RssShmem"))
    except OSError:
        return None
    return None if peak is None else (peak - (file or 0) - (shared or 0)) * 1024
