"""Arrays in files: mapped, shared with the kernel's page cache, and growing without a copy."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SMALLEST = 4096
"""Slots of a new file; its size doubles when they are used up, but only what is used has blocks on the disk."""
_STEP = 1024
"""Slots that get blocks at a time."""
_LARGE = 1024
"""Bytes of a slot, from which on reading ahead brings more than is asked for."""


class Column:
    """One value, or one row of values, a slot.

    The file's size runs ahead of its blocks (it is sparse), so that it is mapped anew, and so faulted in anew, only
    when it has doubled; an array that was taken before stays valid for as long as somebody holds it.

    Does not see: a file that another process shortens; the kernel ends who reads beyond its end (SIGBUS). The folder's
    lock is there for that.
    """

    def __init__(self, path: Path, dtype: str, width: int = 1, *, is_read_only: bool = False) -> None:
        """Create or map the file. Raises OSError.

        `is_read_only`: map it as it is; it must be there, and may be shorter than others.
        """
        self._dtype = np.dtype(dtype)
        self._width = width
        self._bytes = self._dtype.itemsize * width
        self._is_read_only = is_read_only
        mode = os.O_RDONLY if is_read_only else os.O_RDWR | os.O_CREAT
        self._file = os.open(path, mode | os.O_CLOEXEC, 0o600)
        self._blocks = 0
        self.array: NDArray[Any] = self._shaped(np.empty(0, self._dtype))
        """All slots of the file; those past the ones that were reserved must not be touched."""
        try:
            there = os.fstat(self._file).st_size // self._bytes
            if there or not is_read_only:
                self._map(there if is_read_only else max(_SMALLEST, there))
        except BaseException:
            os.close(self._file)
            raise

    def reserve(self, slots: int) -> None:
        """Have blocks for so many slots. Raises OSError when there is no room on the disk: then nothing has changed."""
        if slots <= self._blocks:
            return
        wanted = -(-slots // _STEP) * _STEP
        while wanted > len(self.array):
            self._map(2 * len(self.array))
        # Without blocks a full disk would show as SIGBUS at the moment of writing.
        os.posix_fallocate(self._file, self._blocks * self._bytes, (wanted - self._blocks) * self._bytes)
        self._blocks = wanted

    def _map(self, slots: int) -> None:
        size = slots * self._bytes
        if not self._is_read_only:
            os.ftruncate(self._file, max(size, os.fstat(self._file).st_size))
        mapped = mmap.mmap(self._file, size, access=mmap.ACCESS_READ if self._is_read_only else mmap.ACCESS_WRITE)
        if self._bytes >= _LARGE:
            mapped.madvise(mmap.MADV_RANDOM)  # rows are looked at here and there: what lies beside them is not wanted
        self.array = self._shaped(np.frombuffer(mapped, self._dtype, slots * self._width))

    def _shaped(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self._width == 1 else values.reshape(-1, self._width)

    def read(self, first: int, last: int) -> NDArray[Any]:
        """A copy of slots `first` to before `last`: read and not mapped, so that verifying makes nothing resident."""
        data = os.pread(self._file, (last - first) * self._bytes, first * self._bytes)
        return self._shaped(np.frombuffer(data, self._dtype))

    def close(self, slots: int) -> None:
        """Shorten the file to so many slots and let go of it. Arrays that somebody holds must not be touched again."""
        try:
            if not self._is_read_only:
                os.ftruncate(self._file, slots * self._bytes)
        finally:
            os.close(self._file)
