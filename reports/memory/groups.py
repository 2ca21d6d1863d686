"""A limit on the memory of one process, its file-backed pages included: a cgroup of its own, v1 or v2."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")


@contextmanager
def limited(limit: int) -> Iterator[Path]:
    """The file that a process writes its id to, to be limited to so many bytes.

    Raises OSError where that is not allowed: it takes root, or a cgroup that was delegated to this user.
    """
    parent, name = _own()
    group = parent / f"bench-{os.getpid()}"
    group.mkdir()
    try:
        (group / name).write_text(str(limit), encoding="ascii")
        yield group / "cgroup.procs"
    finally:
        group.rmdir()


def _own() -> tuple[Path, str]:
    """The folder of this process's memory cgroup, and the name of the file with its limit."""
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return _MOUNT / "memory" / path.lstrip("/"), "memory.limit_in_bytes"
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::") and (_MOUNT / "cgroup.controllers").exists():
            return _MOUNT / line[3:].lstrip("/"), "memory.max"
    raise FileNotFoundError("no cgroup limits memory here")


def forget_pages(folder: Path) -> None:
    """Have the kernel drop the cached pages of all files below, which nobody may have mapped."""
    for path in folder.rglob("*"):
        if path.is_file():
            number = os.open(path, os.O_RDONLY)
            try:
                os.fsync(number)
                os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(number)
