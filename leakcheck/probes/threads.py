"""Threads beyond the first of each process."""

from __future__ import annotations

import os
from collections.abc import Iterable

from leakcheck.model.reading import Reading, Resource, Statistic
from leakcheck.probes import Setting, holders
from leakcheck.probes._look import ProcessLook


class Probe:
    """Counts threads of the kernel, without the one that every process has, by thread name.

    Does not see: green threads, coroutines, goroutines; what a thread is for, where the program names none.
    """

    def __init__(self, setting: Setting) -> None:
        del setting

    def resources(self) -> tuple[Resource, ...]:
        """One resource."""
        return (
            Resource(
                name="threads",
                unit="threads",
                statistic=Statistic.COUNT,
                per_process=True,
                title="threads beyond each process's first",
            ),
        )

    def read_process(self, look: ProcessLook) -> Iterable[Reading]:
        """Give the count; holders are thread names."""
        folder = f"/proc/{look.pid}/task"
        others = [thread for thread in os.listdir(folder) if int(thread) != look.pid]
        yield Reading(resource="threads", value=len(others), holders=holders(_names(folder, others)))


def _names(folder: str, threads: list[str]) -> Iterable[str]:
    for thread in threads:
        try:
            with open(f"{folder}/{thread}/comm", encoding="utf-8", errors="backslashreplace") as file:
                yield file.read().rstrip("\n")
        except (FileNotFoundError, ProcessLookupError):
            continue
