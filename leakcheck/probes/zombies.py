"""Processes that ended and that nobody waited for."""

from __future__ import annotations

from collections.abc import Iterable

from leakcheck.model.reading import Reading, Resource, Statistic
from leakcheck.probes import Setting, TreeView, holders


class Probe:
    """Counts zombies; a zombie's holder is the parent that should wait for it.

    Zombies whose parent is the reaper are not counted: waiting for those is our duty. Does not see: zombies of a
    process outside the tree.
    """

    def __init__(self, setting: Setting) -> None:
        self._reaper = setting.parent

    def resources(self) -> tuple[Resource, ...]:
        """One resource."""
        return (
            Resource(
                name="zombies",
                unit="zombies",
                statistic=Statistic.COUNT,
                per_process=False,
                title="zombie processes (ended, not waited for)",
            ),
        )

    def read_tree(self, view: TreeView) -> Iterable[Reading]:
        """Give the count; holders are the parents, as `role (pid)`."""
        roles = {member.pid: member.role for member in view.members}
        theirs = [pid for pid in view.zombies if view.parents.get(pid) != self._reaper]
        parents = [view.parents.get(pid, 0) for pid in theirs]
        yield Reading(
            resource="zombies",
            value=len(theirs),
            holders=holders(f"to be waited for by {roles.get(pid, 'a process outside')} ({pid})" for pid in parents),
        )
