"""The number of the last change that was acknowledged, in a file of its own.

SQLite drops the tail of a damaged write-ahead log without a word, and what is left passes its own checks. A second
record, written after each commit and before its answers, shows a database that ends too early.
"""

from __future__ import annotations

import os
import struct
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

FILE = "seal"
_FORM = struct.Struct("<8sqqq")
_MAGIC = b"mimoseal"
_DIGEST = 32
_PLACE = 4096
"""Bytes from the beginning of one record to that of the other: a torn write damages one of them."""


class Sealed(NamedTuple):
    """What a database must have reached."""

    change: int
    last_id: int
    """The highest id that was ever given."""
    memories: int


class Seal:
    """Two records, written in turn. One thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Open or create the file. Raises OSError."""
        path = folder / FILE
        self.is_new = not path.exists()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._turn = 0

    def read(self) -> Sealed | None:
        """The newer record; None: there is none, or both are damaged.

        Does not see: a database and a seal that lost the same changes.
        """
        found = [(sealed, place) for place in (0, 1) if (sealed := self._record(place)) is not None]
        if not found:
            return None
        newest, place = max(found)
        self._turn = 1 - place
        return newest

    def _record(self, place: int) -> Sealed | None:
        data = os.pread(self._file, _FORM.size + _DIGEST, place * _PLACE)
        packed, digest = data[: _FORM.size], data[_FORM.size :]
        if len(data) < _FORM.size + _DIGEST or sha256(packed).digest() != digest:
            return None
        magic, *numbers = _FORM.unpack(packed)
        return Sealed(*numbers) if magic == _MAGIC else None

    def write(self, sealed: Sealed) -> None:
        """Have it on the disk. Raises OSError."""
        packed = _FORM.pack(_MAGIC, *sealed)
        os.pwrite(self._file, packed + sha256(packed).digest(), self._turn * _PLACE)
        os.fdatasync(self._file)
        self._turn = 1 - self._turn

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def read(folder: Path) -> Sealed | None:
    """The newer record of a folder's seal, which is there; None: it is damaged."""
    with closing(Seal(folder)) as seal:
        return seal.read()
