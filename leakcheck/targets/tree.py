"""Who belongs to a process tree, read from /proc."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from leakcheck.credentials import Secrets
from leakcheck.model.reading import Process
from leakcheck.targets.log import visible

_GONE = (FileNotFoundError, ProcessLookupError)
_LONGEST_COMMAND = 200
"""Characters shown of a command line."""
_READ_OF_COMMAND = 1024
"""Bytes read of it: enough to fill the 200 after credentials have been replaced by shorter masks."""
_DEEPEST_ROLE = 4
"""Executables named in a role, the last ones: a process that starts itself again and again has one role."""

_UNREAD = -1
"""In place of the address of a stack: no process has this one."""

Identity = tuple[int, int]
_Children = Callable[[int, int], Iterable[int]]
"""Gives the children of a process by its pid and its number of threads."""
_MANY = 2
"""Where the number of threads is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """What /proc/PID/stat says of one process."""

    comm: bytes
    state: str
    """One letter; `Z` only when the process has ended. One whose first thread alone has ended is `S`."""
    parent: int
    started: int
    stack: int
    """Address of its stack, another one after each exec; 0 for a zombie or without permission."""
    threads: int = _MANY
    """How many it has, the first one included, even one that has ended."""

    @classmethod
    def read(cls, pid: int) -> Stat:
        """Raise FileNotFoundError or ProcessLookupError when there is no such process."""
        head, _, tail = contents(f"/proc/{pid}/stat", 4096).rpartition(b")")  # the name itself may hold blanks and ")"
        if not tail:
            raise ProcessLookupError(pid)
        fields = tail.split()  # fields[0] is field 3 of proc(5)
        state, threads = fields[0].decode(), int(fields[17])
        if state == "Z" and threads > 1:  # threads that live on after the first one
            state = "S"
        return cls(
            comm=head.partition(b"(")[2],
            state=state,
            parent=int(fields[1]),
            started=int(fields[19]),
            threads=threads,
            stack=int(fields[25]),
        )


def start_time(pid: int) -> int | None:
    """Clock ticks after boot when the process started; None when there is none."""
    try:
        return Stat.read(pid).started
    except _GONE:
        return None


def state_of(pid: int) -> str:
    """One letter (see Stat). Raises FileNotFoundError or ProcessLookupError when it is gone."""
    return Stat.read(pid).state


def parent_of(pid: int) -> int:
    """Pid of the parent. Raises FileNotFoundError or ProcessLookupError when it is gone."""
    return Stat.read(pid).parent


def lives(process: Process) -> bool:
    """True while this process, and no later one with its pid, is there and has not ended.

    One look: to ask whether it is there and then whether it is a zombie would take one that was waited for in between
    for alive.
    """
    try:
        stat = Stat.read(process.pid)
    except _GONE:
        return False
    return stat.started == process.started and stat.state not in "ZX"


def is_zombie(pid: int) -> bool:
    """True when it has ended and nobody has waited for it; False when it lives or is gone."""
    try:
        return Stat.read(pid).state == "Z"
    except _GONE:
        return False


@dataclass(slots=True)
class _Known:
    process: Process
    comm: bytes
    stack: int
    threads: int
    """When it was last looked at."""


class Tree:
    """The processes below a root, and the root unless `skip_root`.

    Once a member, always a member: a process that was seen stays one while it lives, wherever it was reparented to.
    This process and what it starts are never members. Not for use by two threads at once.

    Does not see: a process that came and went between two looks, and, without a reaper as root, one that detached
    itself (double fork) before the first look at it. A child that ends while the list of its siblings is read can
    hide a newborn sibling until the next look.
    """

    def __init__(self, root: int, secrets: Secrets, *, skip_root: bool) -> None:
        """Remember the root's start time. Raises FileNotFoundError or ProcessLookupError when it is gone."""
        self._root = root
        self._started = Stat.read(root).started
        self._secrets = secrets
        self._skip_root = skip_root
        self._top: Identity | None = None
        self._top_role: str | None = None
        """The first process seen below a skipped root: what falls to the reaper later belongs under its role."""
        self._known: dict[Identity, _Known] = {}

    def members(self) -> tuple[Process, ...]:
        """Who is in the tree now: root first, breadth-first, zombies included. Empty when all are gone."""
        found: dict[Identity, _Known] = {}
        children = _children_reader()
        if start_time(self._root) == self._started:
            self._walk(self._root, children, found)
        for identity in self._known:
            if identity not in found and start_time(identity[0]) == identity[1]:
                self._walk(identity[0], children, found)
        self._known = found
        return tuple(known.process for known in found.values())

    def _walk(self, start: int, children: _Children, found: dict[Identity, _Known]) -> None:
        """Add `start` and all below it to `found`."""
        queue: deque[tuple[int, str | None]] = deque([(start, None)])
        me = os.getpid()
        while queue:
            pid, role = queue.popleft()
            if pid == me:
                continue
            if self._skip_root and pid == self._root:
                queue.extend((child, None) for child in children(pid, _MANY))
                continue
            try:
                known = self._look(pid, role)
            except _GONE:
                continue
            if known.process.identity not in found:
                found[known.process.identity] = known
                queue.extend((child, known.process.role) for child in children(pid, known.threads))

    def _look(self, pid: int, parent_role: str | None) -> _Known:
        """What is known of one process, read anew when it has exec'ed since."""
        stat = Stat.read(pid)
        identity = pid, stat.started
        known = self._known.get(identity)
        if known is not None and (stat.state == "Z" or (known.comm, known.stack) == (stat.comm, stat.stack)):
            known.threads = stat.threads
            return known
        if self._skip_root and parent_role is None:
            self._top = self._top or identity
            parent_role = None if identity == self._top else self._top_role
        if known is not None:
            parent_role = known.process.role.rpartition(">")[0] or None
        role = _role(parent_role, executable(pid) or visible(stat.comm.decode(errors="replace")))
        if identity == self._top:
            self._top_role = role
        command = command_line(pid, self._secrets)
        process = Process(
            pid=pid,
            started=stat.started,
            role=role,
            command=command or f"[{visible(stat.comm.decode(errors='replace'))}]",
        )
        # Empty in the middle of an exec (seen on a busy machine, some 100 µs long): to be read again at the next look.
        return _Known(process, stat.comm, stat.stack if command else _UNREAD, stat.threads)


def shown_command(argv: Sequence[str], secrets: Secrets) -> str:
    """A command line for people: credentials removed, on one line, at most 200 characters."""
    return visible(" ".join(secrets.hide_command(argv)))[:_LONGEST_COMMAND]


def command_line(pid: int, secrets: Secrets) -> str:
    """How it was started, for people; empty for a zombie, a kernel thread or a process that is gone."""
    try:
        raw = contents(f"/proc/{pid}/cmdline", _READ_OF_COMMAND)
    except (*_GONE, PermissionError):
        return ""
    argv = raw.split(b"\0")
    if len(argv) > 1:
        argv.pop()  # what follows the last NUL: nothing, or an argument that was cut and may be half a credential
    return shown_command([argument.decode(errors="replace") for argument in argv], secrets)


def executable(pid: int) -> str | None:
    """Name of the program file that it runs; None for a zombie, a kernel thread or without permission."""
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return None
    name = os.path.basename(path.removesuffix(" (deleted)"))
    return visible(os.fsencode(name).decode(errors="replace"))


def _role(parent: str | None, name: str) -> str:
    own = name.replace(">", "_")
    return own if parent is None else ">".join(f"{parent}>{own}".split(">")[-_DEEPEST_ROLE:])


def _children_reader() -> _Children:
    """How to get the children of a process: from a file, or from one scan of /proc where the kernel lacks it."""
    if _kernel_lists_children():
        return _listed_children
    below: dict[int, list[int]] = {}
    for pid in sorted(map(int, filter(str.isdigit, os.listdir("/proc")))):
        try:
            below.setdefault(parent_of(pid), []).append(pid)
        except _GONE:
            continue
    return lambda pid, _: below.get(pid, ())


@cache
def _kernel_lists_children() -> bool:
    return os.path.exists("/proc/thread-self/children")  # CONFIG_PROC_CHILDREN


def _listed_children(pid: int, threads: int) -> list[int]:
    """Children of every thread: the kernel keeps one list for each."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task") if threads > 1 else (pid,):
            found += map(int, contents(f"/proc/{pid}/task/{thread}/children").split())
    except _GONE:  # a thread or the process ended: what it had is a child of another thread, or of the reaper, now
        return found
    return found


def contents(path: str, most: int | None = None) -> bytes:
    """Return what stands in a file of /proc, or its first bytes; a third of the time that `open` takes."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if most is not None:
            return os.read(file, most)
        parts = [os.read(file, 4096)]  # the kernel gives at most one page at a time
        while parts[-1]:
            parts.append(os.read(file, 4096))
        return b"".join(parts)
    finally:
        os.close(file)
