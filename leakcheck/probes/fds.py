"""Open file descriptors by kind."""

from __future__ import annotations

import re
from collections.abc import Iterable

from leakcheck.model.reading import Reading, Resource, Statistic
from leakcheck.probes import Setting, holders
from leakcheck.probes._look import ProcessLook

_KINDS = {
    "file": ("files", "open files"),
    "socket": ("sockets", "open sockets"),
    "pipe": ("pipe ends", "open pipe ends"),
    "anon": ("descriptors", "event, timer and other anonymous descriptors"),
}


class Probe:
    """Counts the entries of /proc/PID/fd by what they refer to.

    A file's holder is its path; `$TMPDIR` in it is the temporary folder that the audit gave the target.
    Costs about 2 µs a descriptor. Does not see: where a descriptor was opened; descriptors in flight over a
    unix socket; processes of another user unless run as root.
    """

    def __init__(self, setting: Setting) -> None:
        self._temporary = setting.temporary

    def resources(self) -> tuple[Resource, ...]:
        """One resource per kind."""
        return tuple(
            Resource(name=f"fds.{kind}", unit=unit, statistic=Statistic.COUNT, per_process=True, title=title)
            for kind, (unit, title) in _KINDS.items()
        )

    def read_process(self, look: ProcessLook) -> Iterable[Reading]:
        """Give one reading per kind, zero included."""
        return look.kept.again("fds", look.targets, lambda: self._sorted(look.targets))

    def _sorted(self, targets: Iterable[str]) -> tuple[Reading, ...]:
        names: dict[str, list[str]] = {kind: [] for kind in _KINDS}
        for target in targets:
            kind, name = kind_of(target)
            names[kind].append(name.replace(self._temporary, "$TMPDIR", 1) if self._temporary else name)
        return tuple(
            Reading(resource=f"fds.{kind}", value=len(found), holders=holders(found)) for kind, found in names.items()
        )


_DELETED = " (deleted)"
_DRAWN = re.compile(r"(?<=tmp)[a-z0-9_]{8}(?![^./ ])|#?\d+")
"""Digits, such as the inode of a file that never had a name; and what Python's tempfile draws for one."""


def one_of_many(path: str) -> str:
    """Name a deleted file so that its likes are counted together: what is drawn anew for each becomes #."""
    if not path.endswith(_DELETED):
        return path
    folder, _, name = path.rpartition("/")
    return f"{folder}/{_DRAWN.sub('#', name)}"


def kind_of(target: str) -> tuple[str, str]:
    """Sort one link target of /proc/PID/fd: its kind, and the name under which equal ones are counted."""
    if target.startswith("/"):
        return "file", one_of_many(target)
    head, _, rest = target.partition(":")
    if head in {"socket", "pipe"}:
        return head, head
    if head == "anon_inode":
        return "anon", rest.strip("[]")
    return "anon", head
