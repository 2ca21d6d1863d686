"""Memory of each process."""

from __future__ import annotations

from collections.abc import Iterable

from leakcheck.model.reading import Reading, Resource, Statistic
from leakcheck.probes import Setting
from leakcheck.probes._look import ProcessLook

_SECOND_VIEWS = {
    "uss": "memory that only this process has (USS)",
    "pss": "memory with shared pages split among their users (PSS)",
}


class Probe:
    """Reads RssAnon (judged), USS and PSS (a second view), in bytes.

    Anonymous memory leaves out file pages, which the kernel drops when it likes. Does not see: what the allocator
    keeps for reuse (it counts as in use), swapped-out pages, GPU memory.
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
        anon = look.kibibytes("RssAnon")
        if anon is None:
            return
        yield Reading(resource="memory.anon", value=anon * 1024)
        rollup = _rollup(look.pid)
        yield Reading(resource="memory.uss", value=(rollup["Private_Clean"] + rollup["Private_Dirty"]) * 1024)
        yield Reading(resource="memory.pss", value=rollup["Pss"] * 1024)


def _rollup(pid: int) -> dict[str, int]:
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii", errors="replace") as file:
        lines = file.readlines()[1:]
    return {key: int(rest.split()[0]) for key, _, rest in (line.partition(":") for line in lines)}
