"""Reads /proc of one process, each file at most once per snapshot."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, TypeVar

from leakcheck.probes._inside import Inside

_Made = TypeVar("_Made")


class Kept:
    """What was made of one process at earlier looks, used again while what it was made from is the same."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Hashable, Any]] = {}
        self._read: dict[str, tuple[Hashable, Any, float, float]] = {}
        """By name: what hinted at a change, what was read, when, and what that cost (seconds)."""

    def again(self, name: str, source: Hashable, make: Callable[[], _Made]) -> _Made:
        """Return what `make` made the last time of an equal `source`, the only thing that it depends on."""
        known = self._made.get(name)
        if known is None or known[0] != source:
            known = self._made[name] = source, make()
        made: _Made = known[1]
        return made

    def lately(
        self, name: str, hint: Hashable, read: Callable[[], _Made], *, seconds: float, share: float = math.inf
    ) -> _Made:
        """Return what was read within these seconds, while `hint` is the same; otherwise read it anew.

        With another `hint` it is read anew at once, but takes no more than that share of a core.
        """
        known = self._read.get(name)
        if known is not None:
            was, made, at, cost = known
            if time.monotonic() - at < (seconds if was == hint else cost / share):
                found: _Made = made
                return found
        begun = time.thread_time()
        found = read()
        self._read[name] = hint, found, time.monotonic(), time.thread_time() - begun
        return found


class ProcessLook:
    """One process at one instant. Raises ProcessLookupError or FileNotFoundError once it is gone."""

    def __init__(self, pid: int, inside: Inside | str | None = None, kept: Kept | None = None) -> None:
        self.pid = pid
        self.inside = inside
        """What its agent said; a text says why it did not; None: it has none."""
        self.kept = Kept() if kept is None else kept
        """From its last look."""

    @cached_property
    def links(self) -> dict[int, str]:
        """Descriptor number to what it refers to; without the agent's own, and those closed meanwhile.

        All are read each time: a number may refer to something else than it did, and nothing cheaper tells.
        """
        folder = f"/proc/{self.pid}/fd"
        own = f"socket:[{self.inside.listener_inode}]" if isinstance(self.inside, Inside) else None
        found = {}
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # two thirds of the time by whole paths
        try:
            for name in os.listdir(opened):
                try:
                    target = os.readlink(name, dir_fd=opened)
                except FileNotFoundError:
                    continue
                if target != own:
                    found[int(name)] = target
        except PermissionError as error:
            error.filename = folder
            raise
        finally:
            os.close(opened)
        return found

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """What all its descriptors refer to."""
        return tuple(self.links.values())

    @cached_property
    def status(self) -> dict[str, str]:
        """/proc/PID/status by key."""
        with open(f"/proc/{self.pid}/status", "rb") as file:
            text = file.read().decode(errors="replace")
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)

    def kibibytes(self, key: str) -> int | None:
        """A memory figure of `status` in KiB; None when the kernel does not give it."""
        value = self.status.get(key)
        return None if value is None else int(value.split()[0])
