"""Newline-delimited framing of what a server writes: whole lines out of chunks, with a bound on memory."""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_LINE = 32 * 1024 * 1024
"""Bytes. A longer line is read to its end and thrown away as it comes."""
_EDGE = 256
"""Bytes kept of either end of a line that is thrown away: enough to find the id of the request it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TooLong:
    """A line over the bound, of which only the edges are kept."""

    edges: bytes
    """The first and the last 256 bytes, joined."""
    size: int


class Lines:
    """Cuts chunks into lines. `feed` is linear in the bytes fed, however the chunks fall."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        """Lines over `longest` bytes come out as `TooLong`."""
        self._longest = longest
        self._parts: list[bytes] = []
        self._size = 0
        self._head: bytes | None = None
        self._tail = b""

    def feed(self, chunk: bytes) -> list[bytes | TooLong]:
        """Return the lines that `chunk` completes, without their newline; empty lines are left out."""
        *ends, rest = chunk.split(b"\n")
        whole: list[bytes | TooLong] = []
        for end in ends:
            self._add(end)
            line = self._taken()
            if line:
                whole.append(line)
        self._add(rest)
        return whole

    def _add(self, part: bytes) -> None:
        if not part:
            return
        self._size += len(part)
        if self._head is not None:
            self._tail = (self._tail + part)[-_EDGE:]
            return
        self._parts.append(part)
        if self._size > self._longest:
            line = b"".join(self._parts)
            self._head, self._tail = line[:_EDGE], line[-_EDGE:]
            self._parts.clear()

    def _taken(self) -> bytes | TooLong:
        line: bytes | TooLong
        if self._head is not None:
            line = TooLong(edges=self._head + self._tail, size=self._size)
        else:
            line = b"".join(self._parts).rstrip(b"\r")
        self._parts.clear()
        self._size, self._head, self._tail = 0, None, b""
        return line
