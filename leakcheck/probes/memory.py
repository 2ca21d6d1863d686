"""Memory of each process."""

from __future__ import annotations

import os
from collections.abc import Iterable

from leakcheck.model.reading import Reading, Resource, Statistic
from leakcheck.probes import Setting
from leakcheck.probes._look import ProcessLook
from leakcheck.targets.tree import contents

_PAGE = os.sysconf("SC_PAGESIZE")
_SECONDS = 10.0
_SHARE = 0.005

_SECOND_VIEWS = {
    "uss": "memory that only this process has (USS)",
    "pss": "memory with shared pages split among their users (PSS)",
}


class Probe:
    """Reads RssAnon (judged), USS and PSS (a second view), in bytes.

    Anonymous memory leaves out file pages, which the kernel drops when it likes; it is read from `statm`, which has the
    same counters as `status` (resident without shared, proc_pid_statm(5)) in a tenth of the time. The second views are
    the dearest read of all. They are read when the number of pages is another one, but take at most 0.5 % of a core,
    or after 10 s. Does not see: what the allocator keeps for reuse (it counts as in use), swapped-out pages, GPU
    memory; for 10 s, that pages are shared with more or fewer processes.
    """

    def __init__(self, setting: Setting) -> None:
        del setting

    def resources(self) -> tuple[Resource, ...]:
        """Anonymous memory, and its second views."""
        anon = Resource(
            name="memory.anon",
            unit="bytes",
            statistic=Statistic.LEVEL,
            per_process=True,
            title="anonymous memory (RssAnon)",
        )
        others = (
            Resource(
                name=f"memory.{name}",
                unit="bytes",
                statistic=Statistic.LEVEL,
                per_process=True,
                title=title,
                judged=False,
            )
            for name, title in _SECOND_VIEWS.items()
        )
        return (anon, *others)

    def read_process(self, look: ProcessLook) -> Iterable[Reading]:
        """Give the three figures; a kernel thread or a process without memory of its own gives none."""
        size, resident, shared = map(int, contents(f"/proc/{look.pid}/statm", 256).split()[:3])
        if size == 0:
            return
        yield Reading(resource="memory.anon", value=(resident - shared) * _PAGE)
        rollup = look.kept.lately(
            "memory", (resident, shared), lambda: _rollup(look.pid), seconds=_SECONDS, share=_SHARE
        )
        yield Reading(resource="memory.uss", value=(rollup["Private_Clean"] + rollup["Private_Dirty"]) * 1024)
        yield Reading(resource="memory.pss", value=rollup["Pss"] * 1024)


def _rollup(pid: int) -> dict[str, int]:
    lines = contents(f"/proc/{pid}/smaps_rollup", 4096).decode("ascii", errors="replace").splitlines()[1:]
    return {key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines)}
