"""One JSON-RPC conversation over a server's stdin and stdout: ids, what is in flight, and who answers what.

One thread does all of it with non-blocking pipes, from start to close: a server that floods stdout, that asks
between two rounds, or that does not read, can never block it, and an answer is followed by the next request
without a change of thread.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import IO, cast

from leakcheck.drivers.job import Job
from leakcheck.drivers.lines import Lines, TooLong
from leakcheck.drivers.messages import Operation, cancellation, failure, id_at_edge, plain_success, reply, shown

_READ = 256 * 1024
_BACKLOG = 1024 * 1024
"""Bytes. Replies to a server that asks but does not read are dropped beyond this."""
_NAMES = 32
"""Different texts kept of what a server sends unasked."""
_SLICE = 0.25
_CALL = b',"method":"tools/call"'


class Conversation:
    """Speaks with one server. `close` ends the thread; the pipes stay their owner's."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes]) -> None:
        """Start the thread. Both pipes become non-blocking."""
        self.ended: str | None = None
        """How the server broke the conversation off; None while it has not."""
        self.garbage: list[str] = []
        """The first lines that were not JSON-RPC."""
        self.garbage_lines = 0
        self.requested: Counter[str] = Counter()
        """Methods that the server asked of us, `ping` aside."""
        self.messages = 0
        """JSON-RPC messages received."""
        self.cpu_seconds = 0.0
        """CPU time of the thread, known once it has ended."""
        self._in, self._out = stdin.fileno(), stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._poll.register(self._bell, select.POLLIN)
        self._lines = Lines()
        self._pending = bytearray()
        self._posted = b""
        self._waits_to_write = False
        self._number = 1
        self._flying: dict[int, tuple[Operation, float]] = {}
        self._job: Job | None = None
        self._closing = False
        self._falls_silent = False
        self._silent = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="leakcheck-stdio", daemon=True)
        self._thread.start()

    def begin(self, job: Job) -> None:
        """Play `job` without waiting for it."""
        with self._lock:
            self._job = job
            if self.ended is not None:
                self._finish()
        self._ring()

    def play(self, job: Job, watch: Callable[[], None], every: float = _SLICE) -> Job:
        """Play `job` to its end, or to the conversation's (`ended`). `watch` is called so often (s) and may raise."""
        self.begin(job)
        while not job.finished.wait(every):
            watch()
        return job

    def post(self, line: bytes) -> None:
        """Send a line that has no answer."""
        with self._lock:
            self._posted += line
        self._ring()

    def fall_silent(self, seconds: float) -> None:
        """Write what is queued, at most for so long, and then nothing ever again; go on reading.

        Only after this may the owner close stdin: its number could be given to another file at once.
        """
        self._falls_silent = True
        self._ring()
        if not self._silent.wait(seconds):
            self.close()

    def close(self) -> None:
        """End the thread and forget what is in flight. The pipes stay open."""
        self._closing = True
        if self._bell >= 0:
            self._ring()
            self._thread.join()
            os.close(self._bell)
            self._bell = -1

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._bell, 1)

    def _run(self) -> None:
        try:
            self._converse()
        except OSError as error:
            # A signal between the start of this thread and the owner's `with` makes it close the pipes first.
            if error.errno != errno.EBADF:
                raise
            self.ended = "was closed by its owner"
        with self._lock:
            self._finish()
        self._silent.set()
        self.cpu_seconds = time.thread_time()

    def _converse(self) -> None:
        while not self._closing and self.ended is None:
            self._fill()
            self._flush()
            if self._falls_silent and not self._pending:
                self._silent.set()
            for descriptor, _ in self._poll.poll(self._patience_ms()):
                if descriptor == self._out:
                    self._read()
                elif descriptor == self._bell:
                    os.eventfd_read(self._bell)
            self._expire()

    def _patience_ms(self) -> float | None:
        job = self._job
        if job is None or not self._flying:
            return None
        _, sent = next(iter(self._flying.values()))
        return max(0.0, (sent + job.seconds - time.monotonic()) * 1000.0) + 1.0

    def _fill(self) -> None:
        """Queue as many requests as may be in flight; finish the job when the last is answered."""
        if self._silent.is_set():
            return
        if self._posted:
            with self._lock:
                self._pending += self._posted
                self._posted = b""
        job = self._job
        if job is None:
            return
        # One may always be in flight: only what is in flight has a deadline, and a full backlog needs one most.
        while len(self._flying) < job.in_flight and (len(self._pending) < _BACKLOG or not self._flying):
            operation = job.next()
            if operation is None:
                if not self._flying:
                    self._finish()
                return
            frames, awaited, self._number = operation.frames(self._number)
            self._pending += frames
            self._flying[awaited] = operation, time.monotonic()

    def _finish(self) -> None:
        job, self._job = self._job, None
        self._flying.clear()
        if job is not None:
            job.finished.set()

    def _flush(self) -> None:
        while self._pending:
            try:
                written = os.write(self._in, self._pending)
            except BlockingIOError:
                break
            except BrokenPipeError:
                # What it wrote before it went still counts: read that first, up to the end of stdout.
                self._pending.clear()
                self._drain("closed its stdin")
                break
            del self._pending[:written]
        if bool(self._pending) is not self._waits_to_write:
            self._waits_to_write = not self._waits_to_write
            if self._waits_to_write:
                self._poll.register(self._in, select.POLLOUT)
            else:
                self._poll.unregister(self._in)

    def _drain(self, how: str) -> None:
        while self.ended is None and self._read():
            pass
        self.ended = self.ended or how

    def _read(self) -> bool:
        try:
            chunk = os.read(self._out, _READ)
        except BlockingIOError:
            return False
        if not chunk:
            self.ended = "closed its stdout"
        for line in self._lines.feed(chunk):
            self._take(line)
        return bool(chunk)

    def _take(self, line: bytes | TooLong) -> None:
        if isinstance(line, TooLong):
            self._too_long(line)
            return
        number = plain_success(line)
        if number is not None and number in self._flying and not self._flying[number][0].keeps:
            self._answered(number, {"result": {}})
            return
        try:
            decoded = json.loads(line)
        except (ValueError, RecursionError):
            self._note_garbage(line)
            return
        for message in decoded if isinstance(decoded, list) else (decoded,):
            if isinstance(message, dict) and ("method" in message or type(message.get("id")) is int):
                self._message(message)
            else:
                self._note_garbage(line)

    def _message(self, message: dict[str, object]) -> None:
        number = message.get("id")
        if "method" not in message:
            self._answered(cast("int", number), message)
            return
        self.messages += 1
        if number is None:
            return  # a notification: nothing to do
        method = shown(str(message["method"]), 80)
        if method != "ping" and (method in self.requested or len(self.requested) < _NAMES):
            self.requested[method] += 1
        if len(self._pending) < _BACKLOG and not self._silent.is_set():
            self._pending += reply(number, method)

    def _answered(self, number: int, message: Mapping[str, object]) -> None:
        self.messages += 1
        job, (operation, sent) = self._job, self._flying.pop(number, (None, 0.0))
        if job is None or operation is None:
            return  # ids are never used twice, so this answers what was cancelled or given up
        if operation.keeps:
            job.answer = message
        job.ended(operation, time.monotonic() - sent, failure(message, operation.expect))

    def _too_long(self, line: TooLong) -> None:
        job, number = self._job, id_at_edge(line.edges)
        self._note_garbage(line.edges)
        if job is not None and number in self._flying:
            operation, sent = self._flying.pop(number)
            job.ended(operation, time.monotonic() - sent, f"an answer of {line.size} bytes, over the bound of 32 MiB")

    def _note_garbage(self, line: bytes) -> None:
        self.garbage_lines += 1
        if len(self.garbage) < _NAMES:
            self.garbage.append(shown(line[:1000].decode(errors="replace"), 1000))

    def _expire(self) -> None:
        job = self._job
        if job is None:
            return
        late = time.monotonic() - job.seconds
        for number, (operation, sent) in tuple(self._flying.items()):
            if sent > late:
                return  # sent in this order, so the rest is younger
            del self._flying[number]
            if operation.request.startswith(_CALL) and not self._silent.is_set():
                self._pending += cancellation(number)
            job.ended(operation, job.seconds, f"no answer within {job.seconds:g} s", answered=False)
