"""What a skill left behind whose reaper was killed: found by a mark in its environment, which forks and execs keep."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

MARK = "MIMO_SKILL_PROCESS"
"""Name of the variable; its value is one process's alone."""


def kill_strays(mark: str) -> None:
    """Kill all processes with that mark until there is none. Takes some milliseconds: not for the event loop's thread.

    Does not see: one that has put on another environment or another user.
    """
    while strays := list(_marked(f"{MARK}={mark}".encode())):
        for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first: they could fork faster than we kill
            for handle in strays:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(handle, number)
        for handle in strays:
            os.close(handle)


def _marked(entry: bytes) -> Iterator[int]:
    """A handle of each; one that has ended has no environment any more."""
    for pid in filter(str.isdecimal, os.listdir("/proc")):  # noqa: PTH208 -- names are all that is needed
        with contextlib.suppress(ProcessLookupError, FileNotFoundError, PermissionError):  # gone, or another user's
            handle = os.pidfd_open(int(pid))  # before the look, so that it is certainly the one looked at
            try:
                found = entry in Path("/proc", pid, "environ").read_bytes().split(b"\0")
            except BaseException:
                os.close(handle)
                raise
            if found:
                yield handle
            else:
                os.close(handle)
