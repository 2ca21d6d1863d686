"""The three pipes of a skill on the event loop: what is read of each is bounded, in memory and in time per turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

LONGEST_LINE = 1 << 20
KEPT_STDERR = 64 * 1024
_PAUSE_SECONDS = 0.01
"""After a full pipe of stderr: a flood gets 6 MB/s of our time and no more."""


class Pipe(asyncio.Protocol):
    """Calls `over` once nothing more comes, or, of a pipe that we write to, once nobody reads."""

    def __init__(self, over: Callable[[], None]) -> None:
        self._over = over
        self.transport: Any = None
        """A ReadTransport or a WriteTransport; None until it is connected."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From the event loop."""
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- however it ended
        """From the event loop."""
        self._over()

    def shut(self) -> None:
        """Close our end at once. Abort, not close: that would wait for a skill to read what it was sent."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.abort()


class ReadPipe(Pipe):
    """One that we read from."""

    def shut(self) -> None:
        """Close our end at once. Nothing waits to be sent here, and uvloop (0.23) has no `abort` for it."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()


class Lines(ReadPipe):
    """Hands lines on. At most a pipe's 64 KiB per turn of the event loop, so that a flood cannot stop it."""

    def __init__(self, heard: Callable[[bytes], None], too_long: Callable[[], None], over: Callable[[], None]) -> None:
        super().__init__(over)
        self._heard = heard
        self._too_long = too_long
        self._begun = bytearray()

    def data_received(self, data: bytes) -> None:
        """From the event loop."""
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = bytes(self._begun) + lines[0]
            self._begun.clear()
        self._begun += rest
        for line in lines:
            self._heard(line)
        if len(self._begun) > LONGEST_LINE:
            self._begun.clear()
            self._too_long()


class Tail(ReadPipe):
    """Keeps the last 64 KiB and counts the rest."""

    def __init__(self, over: Callable[[], None]) -> None:
        super().__init__(over)
        self.kept = bytearray()
        self.total = 0

    def data_received(self, data: bytes) -> None:
        """From the event loop."""
        self.total += len(data)
        self.kept += data
        del self.kept[:-KEPT_STDERR]
        if len(data) >= KEPT_STDERR // 2:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(_PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def last_line(self) -> str:
        """Of what is kept, at most 200 characters, control characters escaped."""
        lines = self.kept.decode(errors="backslashreplace").strip().splitlines() or [""]
        return lines[-1][-200:].encode("unicode_escape").decode()
