"""Live processes of the tree."""

from __future__ import annotations

from collections.abc import Iterable

from leakcheck.model.reading import Reading, Resource, Statistic
from leakcheck.probes import Setting, TreeView, holders


class Probe:
    """Counts the processes that live, by role. Zombies have a probe of their own.

    Does not see: a process that came and went between two snapshots; with `--pid`, one that detached itself
    (double fork) before it was ever seen.
    """

    def __init__(self, setting: Setting) -> None:
        del setting

    def resources(self) -> tuple[Resource, ...]:
        """One resource."""
        return (
            Resource(
                name="processes",
                unit="processes",
                statistic=Statistic.COUNT,
                per_process=False,
                title="live processes",
            ),
        )

    def read_tree(self, view: TreeView) -> Iterable[Reading]:
        """Give the count; holders are roles."""
        alive = [member for member in view.members if member.pid not in view.zombies]
        yield Reading(resource="processes", value=len(alive), holders=holders(member.role for member in alive))
