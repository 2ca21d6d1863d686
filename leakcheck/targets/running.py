"""A target that runs already: looked at, never touched."""

from __future__ import annotations

import os
import pwd
from typing import IO, Self

from leakcheck.credentials import Secrets
from leakcheck.errors import TargetError
from leakcheck.model.reading import Process
from leakcheck.targets.tree import Tree, is_zombie, lives, parent_of, start_time


class Running:
    """The tree below a pid. A later process with the same pid is another one: the target is gone then.

    Does not see: what the target writes, how it ends, and a process that detached itself before it was seen.
    """

    def __init__(self, pid: int, secrets: Secrets) -> None:
        """Raise TargetError when there is no such process or when it may not be looked at."""
        _check(pid)
        try:
            self._tree = Tree(pid, secrets, skip_root=False)
            members = self._tree.members()
        except (FileNotFoundError, ProcessLookupError):
            members = ()
        if not members or members[0].pid != pid:
            raise TargetError(f"Process {pid} ended just now; start it again and give its new pid")
        self._root = members[0]

    @property
    def stdin(self) -> IO[bytes] | None:
        """None: it is somebody else's."""
        return None

    @property
    def stdout(self) -> IO[bytes] | None:
        """None, likewise."""
        return None

    @property
    def root(self) -> Process:
        """The process with that pid, as it was at first sight."""
        return self._root

    def members(self) -> tuple[Process, ...]:
        """Who is in the tree now, root first, zombies included. Empty when the root has ended.

        Its parent, whom we do not know, may let it lie as a zombie for good: nothing of it would ever change.
        """
        return self._tree.members() if lives(self._root) else ()

    def exit_code(self) -> int | None:
        """None: only its parent is told."""
        return None

    def last_lines(self, count: int = 10) -> tuple[str, ...]:
        """Nothing: its output is somebody else's."""
        del count
        return ()

    def end(self, grace_seconds: float) -> tuple[Process, ...]:
        """Leave it alone."""
        del grace_seconds
        return ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Nothing to release."""


def _check(pid: int) -> None:
    if pid <= 0 or start_time(pid) is None:
        raise TargetError(f"There is no process {pid}; find the pid with: ps -ef")
    if pid == os.getpid():
        raise TargetError(f"Process {pid} is leakcheck itself; give the pid of the server")
    try:
        leader = _leader(pid)
        if leader != pid:
            raise TargetError(f"{pid} is a thread of process {leader}; use --pid {leader}")
        if is_zombie(pid):
            raise TargetError(f"Process {pid} has ended and waits for its parent {parent_of(pid)}; give a live one")
        os.listdir(f"/proc/{pid}/fd")
    except PermissionError as error:
        raise TargetError(_not_ours(pid)) from error
    except (FileNotFoundError, ProcessLookupError) as error:
        raise TargetError(f"Process {pid} ended just now; start it again and give its new pid") from error


def _leader(pid: int) -> int:
    with open(f"/proc/{pid}/status", "rb") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(b"Tgid:"))


def _not_ours(pid: int) -> str:
    owner = os.stat(f"/proc/{pid}").st_uid
    if owner == os.geteuid():
        return f"Process {pid} does not let itself be looked at (ptrace is denied); run as root"
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"number {owner}"
    return f"Process {pid} belongs to user {name}; run as that user or as root"
