"""Reads /proc of one process, each file at most once per snapshot."""

from __future__ import annotations

import os
from functools import cached_property


class ProcessLook:
    """One process at one instant. Raises ProcessLookupError or FileNotFoundError once it is gone."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    @cached_property
    def links(self) -> dict[int, str]:
        """Descriptor number to what it refers to; a descriptor closed meanwhile is left out."""
        folder = f"/proc/{self.pid}/fd"
        found = {}
        for name in os.listdir(folder):
            try:
                found[int(name)] = os.readlink(f"{folder}/{name}")
            except FileNotFoundError:
                continue
        return found

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
