"""Waits until readings stop moving: bounded, with doubling pauses, never a fixed sleep."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from leakcheck.model.reading import Process

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.16


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """How the wait went."""

    seconds: float
    stopped: bool
    """False: still moving when the time was up."""


def settle(read: Callable[[], Hashable], most_seconds: float) -> Settled:
    """Read until two readings in a row are equal, or the time is up.

    Pauses double from 10 to 160 ms: what settles at once costs 10 ms, what takes a second is looked at a dozen times.
    """
    begun = time.monotonic()
    pause, before = _FIRST_PAUSE, read()
    while True:
        left = begun + most_seconds - time.monotonic()
        if left <= 0:
            return Settled(seconds=time.monotonic() - begun, stopped=False)
        time.sleep(min(pause, left))
        now = read()
        if now == before:
            return Settled(seconds=time.monotonic() - begun, stopped=True)
        before, pause = now, min(2 * pause, _LONGEST_PAUSE)


def stirring(members: Callable[[], tuple[Process, ...]]) -> tuple[tuple[int, int, int], ...]:
    """What is watched while settling: pid, descriptors and threads of each member. A few µs a process.

    Does not see: memory, which never stops moving in some runtimes.
    """
    found = []
    for member in members():
        try:
            folder = os.stat(f"/proc/{member.pid}/fd")  # noqa: PTH116 - read often, see probes
            tasks = os.stat(f"/proc/{member.pid}/task")  # noqa: PTH116 - likewise
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        # st_size of /proc/PID/fd is the number of descriptors since Linux 6.2; before, it is 0 and only threads count.
        found.append((member.pid, folder.st_size, tasks.st_nlink))
    return tuple(found)
