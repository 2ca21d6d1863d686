"""Threads beyond the first of each process."""

from __future__ import annotations

import os
from collections.abc import Iterable

from leakcheck.model.reading import Reading, Resource, Statistic
from leakcheck.probes import Setting, holders
from leakcheck.probes._inside import Inside
from leakcheck.probes._look import ProcessLook
from leakcheck.targets.tree import contents

_NAMES_SECONDS = 10.0


class Probe:
    """Counts threads of the kernel, without the one that every process has and the agent's own, by thread name.

    Names are read when the set of threads is another one, or after 10 s. Does not see: green threads, coroutines,
    goroutines; what a thread is for, where the program names none; for 10 s, that a thread took another name.
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
        not_counted = {look.pid, look.inside.thread if isinstance(look.inside, Inside) else look.pid}
        others = [thread for thread in os.listdir(folder) if int(thread) not in not_counted]
        yield Reading(resource="threads", value=len(others), holders=holders(self._names(look, others)))

    def _names(self, look: ProcessLook, threads: list[str]) -> tuple[str, ...]:
        if not threads:
            return ()
        return look.kept.lately(
            "threads", tuple(threads), lambda: tuple(_named(look.pid, threads)), seconds=_NAMES_SECONDS
        )


def _named(pid: int, threads: list[str]) -> Iterable[str]:
    for thread in threads:
        try:
            name = contents(f"/proc/{pid}/task/{thread}/comm", 64)
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield name.decode(errors="backslashreplace").rstrip("\n")
