"""The target's output: kept within bounds, without credentials, and unable to act on a terminal."""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from dataclasses import dataclass, field

from leakcheck.credentials import Secrets

_HEAD = 1 << 20
"""Bytes written as they come. A target that says more than 1 MiB says most of it many times."""
_TAIL_LINES = 200
_LINE = 2048
"""Characters kept of a line."""
_LINE_SEEN = 2 * _LINE
"""Bytes of a line looked at for credentials. The second half is for those that straddle the cut."""
_CHUNK = 1 << 16
_MOST_CHUNKS = 16
"""Read in one go, 1 MiB in all: the largest a pipe may be without privilege. What floods us must not hold us."""


def visible(text: str) -> str:
    r"""Return `text` with every character that acts instead of showing as its escape: `\x1b`, `\u202e`."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


@dataclass(slots=True)
class _Line:
    kept: bytearray = field(default_factory=bytearray)
    size: int = 0

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if room := _LINE_SEEN - len(self.kept):
            self.kept += part[:room]


class TargetLog:
    """Empties one pipe into a file, in a thread of its own, so that the target never waits for a reader.

    The first 1 MiB is written as it comes; of the rest, the last 200 lines when the log is closed. `problem` says why
    when the file could not be written; the pipe is emptied all the same.

    Does not see: what orphans of the target write after `close`; a credential that the target spreads over lines.
    """

    def __init__(self, path: str, pipe: int, secrets: Secrets) -> None:
        """Take over `pipe`, the reading end. Raises OSError when the file cannot be opened; the pipe is closed then."""
        self.problem: str | None = None
        self._pipe = pipe
        self._secrets = secrets
        self._lock = threading.Lock()
        self._open = True
        self._recent: deque[_Line] = deque(maxlen=_TAIL_LINES)
        self._current = _Line()
        self._head_left = _HEAD
        self._tail_bytes = 0
        self._tail_lines = 0
        """Lines ended since the head was full."""
        os.set_blocking(pipe, False)
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - closed by `close`
        except OSError:
            os.close(pipe)
            raise
        self._woken, self._wakes = os.pipe()
        self._thread = threading.Thread(target=self._pump, name="target log", daemon=True)
        self._thread.start()

    def last_lines(self, count: int = 10) -> tuple[str, ...]:
        """The last lines so far, an unfinished one included; what is in the pipe is read first."""
        with self._lock:
            if self._open:
                self._drain()
            lines = [*self._recent, self._current] if self._current.size else list(self._recent)
        return tuple(map(self._shown, lines[-count:] if count > 0 else []))

    def close(self) -> None:
        """Write what is left and let go, even of a pipe that somebody else still holds open. Twice is no error."""
        if not self._open:
            return
        os.write(self._wakes, b"!")
        self._thread.join()
        with self._lock:
            self._drain()
            if self._current.size:
                self._take_tail(b"\n") if self._head_left <= 0 else self._take_head(b"\n")
            self._write_tail()
            self._open = False
            self._file.close()
            for descriptor in (self._pipe, self._woken, self._wakes):
                os.close(descriptor)

    def _pump(self) -> None:
        ready = select.poll()
        for descriptor in (self._pipe, self._woken):
            ready.register(descriptor, select.POLLIN)
        while all(descriptor != self._woken for descriptor, _ in ready.poll()):
            with self._lock:
                if not self._drain():
                    return

    def _drain(self) -> bool:
        """Take what is in the pipe, at most 1 MiB; False at its end. The lock is held."""
        for _ in range(_MOST_CHUNKS):
            try:
                chunk = os.read(self._pipe, _CHUNK)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            if self._head_left > 0:
                self._take_head(chunk)
            else:
                self._take_tail(chunk)
        return True

    def _take_head(self, chunk: bytes) -> None:
        *ends, rest = chunk.split(b"\n")
        written = []
        for end in ends:
            self._current.add(end)
            written.append(self._shown(self._end_line()))
        self._current.add(rest)
        self._head_left -= len(chunk)
        self._write(written)

    def _take_tail(self, chunk: bytes) -> None:
        """As the head, but cheap in a flood: only the last lines are looked at."""
        self._tail_bytes += len(chunk)
        parts = chunk.rsplit(b"\n", _TAIL_LINES + 1)
        if len(parts) == _TAIL_LINES + 2:  # the first part is many lines, and a line before the last 200 is dropped
            self._current = _Line()
            del parts[0]
        *ends, rest = parts
        for end in ends:
            self._current.add(end)
            self._end_line()
            self._tail_lines += 1
        self._current.add(rest)

    def _end_line(self) -> _Line:
        line, self._current = self._current, _Line()
        self._recent.append(line)
        return line

    def _write_tail(self) -> None:
        lines = list(self._recent)[-self._tail_lines :] if self._tail_lines else []
        left_out = self._tail_bytes - sum(line.size + 1 for line in lines)
        self._write([f"… {left_out} bytes not kept …"] if left_out > 0 else [])
        self._write([self._shown(line) for line in lines])

    def _shown(self, line: _Line) -> str:
        text = self._secrets.hide(line.kept.removesuffix(b"\r").decode(errors="replace"))
        dropped = line.size - len(line.kept)
        if len(line.kept) > _LINE:
            keep = max(0, len(text) - (len(line.kept) - _LINE))
            dropped = line.size - _LINE
            text = text[:keep]
        text = "\t".join(map(visible, text.split("\t")))
        return f"{text} … {dropped} bytes of this line not kept" if dropped else text

    def _write(self, lines: list[str]) -> None:
        if self.problem is None and lines:
            try:
                self._file.write("".join(f"{line}\n" for line in lines).encode())
            except OSError as error:
                self.problem = f"{self._file.name}: {error.strerror}; the target's output is not kept from here on"
