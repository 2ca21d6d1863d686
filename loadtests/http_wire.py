"""HTTP/1.1 over gevent sockets, as little of it as a load needs: one connection, and those kept for further requests.

A connection can also be dropped at an exact point of a request. Parsed by httptools, the parser of Node.js.

Does not see: cookies, proxies, compressed bodies (none is asked for), HTTP/2; whose certificate it is.
"""

from __future__ import annotations

import select
import ssl
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import SplitResult, urljoin, urlsplit

import gevent.socket
import httptools
from gevent import ssl as gevent_ssl
from gevent.monkey import get_original

_poll = get_original("select", "poll")
_READ = 64 * 1024
_INFORMATIONAL = 200
"""Statuses below it announce an answer and are none."""
_FRESH_SECONDS = 0.01
"""A connection that was used so lately has not been closed by a clock of the server's: it is not looked at again."""
_REDIRECTS = frozenset({307, 308})
"""The ones that keep the method and the body."""


class ClosedError(ConnectionError):
    """The connection ended before the answer did. `begun`: whether anything of it had come."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__("the connection was closed before the answer was complete")
        self.begun = begun


class GarbageError(ValueError):
    """What came is no HTTP."""


class Response:
    """One answer: its head is read when it is made, its body when it is asked for."""

    __slots__ = (
        "_begun",
        "_framed",
        "_has_head",
        "_headers",
        "_keeps",
        "_parser",
        "_pieces",
        "_sock",
        "complete",
        "status_code",
    )

    def __init__(self, sock: gevent.socket.socket) -> None:
        """Wait for the head. Raises ClosedError, GarbageError or OSError."""
        self._sock = sock
        self._headers: dict[bytes, bytes] = {}
        self._pieces: deque[bytes] = deque()
        self._has_head = self._framed = self._begun = self._keeps = False
        self.status_code = 0
        self.complete = False
        """Whether the body has come to its end."""
        self._parser: Any = httptools.HttpResponseParser(self)
        while not self._has_head:
            self._receive()

    def get(self, name: str, default: str = "") -> str:
        """A header by its name in lower case."""
        value = self._headers.get(name.encode("ascii"))
        return default if value is None else value.decode("latin-1")

    @property
    def can_be_kept(self) -> bool:
        """Whether another request may follow on this connection."""
        return self.complete and self._framed and self._keeps

    def read(self) -> bytes:
        """The next piece of the body; empty at its end. Raises ClosedError, GarbageError or OSError."""
        while not self._pieces:
            if self.complete:
                return b""
            self._receive()
        return self._pieces.popleft()

    def readline(self) -> bytes:
        """The body up to the next line feed, or to its end."""
        line = bytearray()
        while piece := self.read():
            at = piece.find(b"\n") + 1
            if at:
                line += piece[:at]
                if at < len(piece):
                    self._pieces.appendleft(piece[at:])
                break
            line += piece
        return bytes(line)

    def _receive(self) -> None:
        data = self._sock.recv(_READ)
        if not data:
            if not self._has_head or self._framed:
                raise ClosedError(begun=self._begun)
            self.complete = True  # a body without a length ends with its connection
            return
        self._begun = True
        if self._parser is None:
            raise GarbageError("more came than the answer")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise GarbageError(str(error)) from error
        if self.complete:
            self._parser = None  # it holds this object: without it nothing waits for the garbage collector

    def on_message_begin(self) -> None:
        """Refuse what follows the answer: nothing was asked for. The parser calls it."""
        if self.complete:
            raise GarbageError("more came than the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header: the parser calls it."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Take note of the end of the head: the parser calls it."""
        status = self._parser.get_status_code()
        if status < _INFORMATIONAL:
            self._headers.clear()
            return
        self._has_head, self.status_code = True, status
        headers = self._headers
        self._framed = b"content-length" in headers or b"transfer-encoding" in headers or status in {204, 304}

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body: the parser calls it."""
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        """Take note of the end: the parser calls it. After an announcement the answer is still to come."""
        self.complete = self._has_head
        self._keeps = bool(self._parser.should_keep_alive())


class Connection:
    """Connects at once; leaving the `with` drops it, whatever is under way. Use within `McpUser.counted`."""

    def __init__(self, parts: SplitResult, headers: Mapping[str, str], seconds: float) -> None:
        """`headers` go with every request: tokens. `seconds` are for connecting; whoever waits for an answer counts."""
        secure = parts.scheme == "https"
        where = (parts.hostname or "", parts.port or (443 if secure else 80))
        self._sock = gevent.socket.create_connection(where, seconds)
        self._sock.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
        if secure:
            context = gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False  # what is loaded runs on this machine
            context.verify_mode = ssl.CERT_NONE
            self._sock = context.wrap_socket(self._sock, server_hostname=where[0])
        self._sock.settimeout(None)
        self._headers = headers
        self.used = time.monotonic()
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._after_method = f" {target} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"

    def send(self, method: str, headers: Mapping[str, str], body: bytes | None = None) -> None:
        """Send a whole request."""
        every = {**self._headers, **headers} if self._headers else headers
        fields = "".join([f"{name}: {value}\r\n" for name, value in every.items()])
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        request = f"{method}{self._after_method}{fields}{length}\r\n".encode("latin-1") + (body or b"")
        sent = self._sock.send(request)  # which most often takes all of it, and costs less than sendall
        if sent < len(request):
            self._sock.sendall(request[sent:])

    def first_bytes(self) -> bool:
        """Wait for the first bytes of the answer; False if the server closed instead."""
        return bool(self._sock.recv(1))

    def answer(self) -> Response:
        """Wait for the head of the answer."""
        return Response(self._sock)

    def is_quiet(self) -> bool:
        """Whether nothing has come, not even the other side's goodbye: a request may be sent."""
        if time.monotonic() - self.used < _FRESH_SECONDS:
            return True
        poll = _poll()
        poll.register(self._sock.fileno(), select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Drop it."""
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Line:
    """A kept connection with one answer on it; `release` gives it back, or drops it when more is to come."""

    def __init__(self, pool: Pool, connection: Connection, response: Response) -> None:
        self._pool, self._connection, self.response = pool, connection, response

    def release(self) -> None:
        """Give the connection back."""
        if self.response.can_be_kept:
            self._pool.keep(self._connection)
        else:
            self._connection.close()


class Pool:
    """The connections of one user to one address; as many as there are requests at once."""

    def __init__(self, url: str, headers: Mapping[str, str], seconds: float) -> None:
        """See Connection."""
        self._parts, self._headers, self._seconds = urlsplit(url), headers, seconds
        self._kept: list[Connection] = []

    def ask(self, method: str, headers: Mapping[str, str], body: bytes | None) -> Line:
        """Send a request; return when the head of the answer is there.

        A server may close a kept connection at the very moment of sending: where it ends before anything of an answer
        has come, the request goes out once more, over a new one, as browsers do.
        A redirection to the same host that keeps the method (307, 308) is followed once, for good.
        Raises ClosedError, GarbageError or OSError.
        """
        line = self._ask(method, headers, body)
        if line.response.status_code in _REDIRECTS and self._moved(line.response.get("location")):
            line.release()
            self.drop()
            line = self._ask(method, headers, body)
        return line

    def _ask(self, method: str, headers: Mapping[str, str], body: bytes | None) -> Line:
        while self._kept:
            connection = self._kept.pop()
            if not connection.is_quiet():
                connection.close()
                continue
            try:
                return self._sent(connection, method, headers, body)
            except ConnectionError as error:
                if isinstance(error, ClosedError) and error.begun:
                    raise
                self.drop()  # the others idled for longer
        return self._sent(Connection(self._parts, self._headers, self._seconds), method, headers, body)

    def _sent(self, connection: Connection, method: str, headers: Mapping[str, str], body: bytes | None) -> Line:
        try:
            connection.send(method, headers, body)
            return Line(self, connection, connection.answer())
        except BaseException:
            connection.close()
            raise

    def _moved(self, location: str) -> bool:
        """Whether it is the same host's; from now on that is where requests go."""
        there = urlsplit(urljoin(self._parts.geturl(), location))
        if not location or (there.scheme, there.netloc) != (self._parts.scheme, self._parts.netloc):
            return False
        self._parts = there
        return True

    def keep(self, connection: Connection) -> None:
        """Keep a connection for a further request."""
        connection.used = time.monotonic()
        self._kept.append(connection)

    def drop(self) -> None:
        """Close what is kept."""
        while self._kept:
            self._kept.pop().close()
