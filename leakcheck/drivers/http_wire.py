"""HTTP/1.1 as far as a load needs it: connections that are opened, kept and counted, answers read to their end.

Not `http.client`, which parses each head as an e-mail: the CPU time is the auditor's own share of a core.

Does not see: what a body says. It is read and thrown away.
"""

from __future__ import annotations

import re
import select
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

TICK_SECONDS = 0.25
"""How late a deadline may be noticed: setting a timeout for each read would cost one more system call each."""
CONNECT_SECONDS = 10.0
EVENT_SECONDS = 1.0
"""How long the first event of an endless answer is waited for."""
HEAD_BYTES = 65536
"""A longer head is no HTTP: common servers stop at 8 to 64 KiB."""
STALE_SECONDS = 0.05
"""A connection that was idle for less is not looked at before it is used again."""

_STATUS = re.compile(rb"HTTP/1\.(\d) +(\d{3})\b")
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r?\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\ntransfer-encoding:[^\r\n]*\bchunked\b", re.IGNORECASE)
_CONNECTION = re.compile(rb"\nconnection:[^\r\n]*\b(close|keep-alive)\b", re.IGNORECASE)
_SERVER = re.compile(rb"\nserver:[ \t]*([^\r\n]{1,200})", re.IGNORECASE)
_EVENTS = re.compile(rb"\ncontent-type:[ \t]*text/event-stream", re.IGNORECASE)
_BLANK = re.compile(rb"\r?\n\r?\n")


class Missing(Exception):
    """No valid answer. `refused`: it never reached the server. `tls`, `silent`, `closed`, `garbage`: it did."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The head of an answer."""

    head: bytes
    status: int
    length: int | None
    """Bytes of the body; None: only the body itself tells where it ends."""
    chunked: bool
    keeps: bool
    """Whether the connection can be used again once the body is read."""

    @property
    def server(self) -> str:
        """The Server header, hostile text; empty without one."""
        found = _SERVER.search(self.head)
        return found[1].decode("latin-1").strip() if found else ""


def _read_head(head: bytes, *, bodyless: bool) -> Answer:
    matched = _STATUS.match(head)
    if matched is None:
        raise Missing("garbage", shown(head))
    status = int(matched[2])
    chunked = _CHUNKED.search(head) is not None
    stated = None if chunked else _LENGTH.search(head)
    length = int(stated[1]) if stated else None
    said = _CONNECTION.search(head)
    keeps = said[1].lower() == b"keep-alive" if said else matched[1] != b"0"
    if bodyless or status in {204, 304}:
        length, chunked = 0, False
    return Answer(head=head, status=status, length=length, chunked=chunked, keeps=keeps)


def shown(data: bytes) -> str:
    """The first bytes of something that is no HTTP, escaped and quoted."""
    return repr(data[:60])[1:]


class Connection:
    """One TCP connection, and what was received on it and not yet used."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.reused = False
        self.heard = False
        """Whether the server has sent a byte since the last request."""
        self.idle_since = 0.0
        self._rest = b""

    def send(self, data: bytes, patience: float) -> None:
        """Send one request whole."""
        self.heard = False
        large = len(data) > 65536  # may not fit the socket's buffer: then the server must read before we go on
        try:
            if large:
                self.sock.settimeout(patience)
            self.sock.sendall(data)
            # A server that writes head and body apart waits for our ACK in between (Nagle), which the kernel holds
            # back for 40 ms. Must be set for each answer.
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            if large:
                self.sock.settimeout(TICK_SECONDS)
        except OSError as error:
            raise Missing("closed", f"the connection broke while sending: {error}") from None

    def is_stale(self) -> bool:
        """Whether the server closed it, or sent something unasked, while it was idle."""
        return time.monotonic() - self.idle_since > STALE_SECONDS and bool(select.select([self.sock], [], [], 0)[0])

    def answer(self, deadline: float, *, bodyless: bool) -> Answer:
        """Read the head of the answer; interim ones (1xx) are skipped."""
        while True:
            answer = _read_head(self._head(deadline), bodyless=bodyless)
            if answer.status >= 200:
                return answer

    def skip_body(self, answer: Answer, deadline: float) -> bool:
        """Read a body to its end; return whether the connection can be used again."""
        if answer.length is not None:
            self._skip(answer.length, deadline)
        elif answer.chunked:
            while size := self._chunk_size(deadline):
                self._skip(size + 2, deadline)
            while self._line(deadline):
                pass
        else:
            while self._receive(deadline):
                pass
            return False
        return answer.keeps and not self._rest

    def skip_first_event(self, answer: Answer, deadline: float) -> None:
        """Read a body up to its first event or first bytes, or for a second."""
        events = _EVENTS.search(answer.head) is not None
        until = min(deadline, time.monotonic() + EVENT_SECONDS)
        try:
            while not (_BLANK.search(self._rest) if events else self._rest):
                data = self._receive(until)
                if not data:
                    return
                self._rest = self._rest[-3:] + data
        except Missing as missing:
            if missing.kind != "silent":
                raise

    def _head(self, deadline: float) -> bytes:
        while (blank := _BLANK.search(self._rest)) is None:
            begun = self._rest[:5]
            if begun != b"HTTP/"[: len(begun)] or len(self._rest) > HEAD_BYTES:
                raise Missing("garbage", shown(self._rest))
            try:
                self._more(deadline)
            except Missing:
                if begun:
                    raise Missing("garbage", shown(self._rest)) from None
                raise
        head, self._rest = self._rest[: blank.start()] + b"\r\n", self._rest[blank.end() :]
        return head

    def _receive(self, deadline: float) -> bytes:
        while True:
            try:
                data = self.sock.recv(65536)
            except TimeoutError:
                data = None
            except OSError as error:
                raise Missing("closed", f"the connection broke: {error}") from None
            if time.monotonic() > deadline:
                raise Missing("silent", "no complete answer in time")
            if data is not None:
                self.heard = self.heard or bool(data)
                return data

    def _more(self, deadline: float) -> None:
        data = self._receive(deadline)
        if not data:
            raise Missing("closed", "closed in mid-answer" if self.heard else "closed without an answer")
        self._rest += data

    def _skip(self, count: int, deadline: float) -> None:
        while count > len(self._rest):
            count -= len(self._rest)
            self._rest = b""
            self._more(deadline)
        self._rest = self._rest[count:]

    def _line(self, deadline: float) -> bytes:
        while (end := self._rest.find(b"\n")) < 0:
            if len(self._rest) > HEAD_BYTES:
                raise Missing("garbage", shown(self._rest))
            self._more(deadline)
        line, self._rest = self._rest[:end].rstrip(b"\r"), self._rest[end + 1 :]
        return line

    def _chunk_size(self, deadline: float) -> int:
        line = self._line(deadline)
        try:
            return int(b"0x" + line.partition(b";")[0].strip(), 16)
        except ValueError:
            raise Missing("garbage", f"chunk size {shown(line)}") from None


class Origin:
    """The connections to one scheme, host and port.

    Kept ones are used in turn, and a new one is opened while there are fewer than `limit`, even if another is idle: so
    the number open between rounds is the same each time. Otherwise a probe would take our own connections for growth.
    """

    def __init__(self, host: str, port: int, *, secure: bool, limit: int) -> None:
        self._host = host
        self._secure = secure
        self._limit = limit
        self._idle: deque[Connection] = deque()
        self._open = 0
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)

    def kept(self) -> Connection:
        """Return a connection to be given back to `keep` or `drop`. Raises Missing `refused`."""
        while True:
            with self._lock:
                found = self._idle.popleft() if self._idle and self._open >= self._limit else None
                self._open += found is None
            if found is None:
                try:
                    return self.fresh()
                except Missing:
                    with self._lock:
                        self._open -= 1
                    raise
            found.reused = True
            if not found.is_stale():
                return found
            self.drop(found)

    def keep(self, connection: Connection) -> None:
        """Take back a connection whose answer was read to the end."""
        connection.idle_since = time.monotonic()
        with self._lock:
            self._idle.append(connection)

    def drop(self, connection: Connection) -> None:
        """Take back a connection that can't be used again."""
        connection.sock.close()
        with self._lock:
            self._open -= 1

    def fresh(self) -> Connection:
        """Open a connection that the caller closes. Raises Missing `refused`."""
        words = ""
        for place in self._addresses:
            sock = socket.socket(place[0], place[1])
            try:
                sock.settimeout(CONNECT_SECONDS)
                sock.connect(place[4])
                if sock.getsockname() == sock.getpeername():
                    # Nobody listens and the kernel drew this very port for us: TCP then joins a socket to itself.
                    raise ConnectionRefusedError("nobody listens")
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock = self._secured(sock)
                sock.settimeout(TICK_SECONDS)
            except OSError as error:
                sock.close()
                words = str(error)
            else:
                self._addresses = [place]
                return Connection(sock)
        raise Missing("refused", words)

    def _secured(self, sock: socket.socket) -> socket.socket:
        if not self._secure:
            return sock
        import ssl  # noqa: PLC0415 - only https needs it

        with self._lock:
            self._context = self._context or ssl.create_default_context()
        try:
            return self._context.wrap_socket(sock, server_hostname=self._host)
        except ssl.SSLError as error:
            sock.close()
            raise Missing("tls", str(error)) from None
