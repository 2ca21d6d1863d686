"""Files that nobody will ever find again: deleted but open, and left in the temporary folder."""

from __future__ import annotations

import os
from collections.abc import Iterable

from leakcheck.model.reading import Reading, Resource, Statistic
from leakcheck.probes import CannotReadError, Setting, TreeView, holders
from leakcheck.probes._look import ProcessLook
from leakcheck.probes.fds import one_of_many

_MOST = 20_000
"""Entries counted in the temporary folder: a walk beyond it would take longer than a round."""


class Probe:
    """Counts deleted files that the tree holds open, and the entries of the target's temporary folder.

    An audit gives the target a temporary folder of its own (TMPDIR), so every file there is the target's. Does not
    see: files that the target writes elsewhere (data and logs grow by design), and how large they are.
    """

    def __init__(self, setting: Setting) -> None:
        self._temporary = setting.temporary

    def resources(self) -> tuple[Resource, ...]:
        """One resource for each of the two."""
        return (
            Resource(
                name="files.deleted",
                unit="files",
                statistic=Statistic.COUNT,
                per_process=False,
                title="deleted files still open",
                judged=False,
            ),
            Resource(
                name="files.temporary",
                unit="files",
                statistic=Statistic.COUNT,
                per_process=False,
                title="files in the temporary folder",
            ),
        )

    def read_tree(self, view: TreeView) -> Iterable[Reading]:
        """Give both counts. Raises CannotReadError when the temporary folder is shared with others."""
        deleted = [target for look in view.looks.values() for target in _deleted(look)]
        yield Reading(resource="files.deleted", value=len(deleted), holders=holders(map(one_of_many, deleted)))
        if self._temporary is None:
            raise CannotReadError(
                "the target shares its temporary folder with others; start it with leakcheck to judge"
            )
        names = list(_walk(self._temporary))
        yield Reading(resource="files.temporary", value=len(names), holders=holders(names))


def _deleted(look: ProcessLook) -> tuple[str, ...]:
    return look.kept.again(
        "deleted",
        look.targets,
        lambda: tuple(
            target
            for target in look.targets
            if target.endswith(" (deleted)") and target.startswith("/") and not target.startswith("/memfd:")
        ),
    )


def _walk(folder: str) -> Iterable[str]:
    """Yield the files below `folder`, by folder and kind of name: digits become #, so that numbered ones are one."""
    count = 0
    for here, _, files in os.walk(folder):
        for name in files:
            yield os.path.join(os.path.relpath(here, folder), "".join("#" if c.isdigit() else c for c in name))
            count += 1
            if count >= _MOST:
                return
