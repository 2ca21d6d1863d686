"""Processes whose parent ended while they live on."""

from __future__ import annotations

from collections.abc import Iterable

from leakcheck.model.reading import Reading, Resource, Statistic
from leakcheck.probes import CannotReadError, Setting, TreeView, holders


class Probe:
    """Counts members that fell to the reaper because their parent ended: a second view of `processes`.

    A daemon that detaches itself is one by design, so growth is judged by `processes`; what outlives the whole
    target is judged when the target ends. Does not see: anything with `--pid`, where lost children fall to init.
    """

    def __init__(self, setting: Setting) -> None:
        self._reaper = setting.parent

    def resources(self) -> tuple[Resource, ...]:
        """One resource."""
        return (
            Resource(
                name="orphans",
                unit="processes",
                statistic=Statistic.COUNT,
                per_process=False,
                title="processes that outlived their parent",
                judged=False,
            ),
        )

    def read_tree(self, view: TreeView) -> Iterable[Reading]:
        """Give the count; holders are roles. Raises CannotReadError with `--pid`."""
        if self._reaper is None:
            raise CannotReadError("the target was running already: processes that lose their parent fall to init")
        lost = [
            member
            for member in view.members[1:]
            if view.parents.get(member.pid) == self._reaper and member.pid not in view.zombies
        ]
        yield Reading(resource="orphans", value=len(lost), holders=holders(member.role for member in lost))
