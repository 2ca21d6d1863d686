"""One TCP connection of an HTTP client: counted, bounded, and dropped when its request does not come.

uvicorn (0.54) has no time limit for a request on its way: its keep-alive timer runs between requests only, and each
byte stops it. 200 half-sent requests held 200 descriptors for as long as their clients liked. Its parser, httptools,
has no bound on a head either, and takes trailers for headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any, ClassVar, cast

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mimo_server.errors import LimitError
from mimo_server.supervision.registry import Registry
from mimo_server.surface.websocket import Upgraded

_LARGEST_HEAD = 64 << 10
"""Bytes of a request that are not its body: the head, the sizes of chunks, trailers."""
_VERSIONS = ("1.1", "1.0")
"""httptools takes a line without a version for 0.9, and 2.0 for one like any other."""


def _answer(status: str, text: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    return (head + text).encode()


_FULL = _answer("503 Service Unavailable", "too many connections are open; try again shortly")
_LARGE = _answer("431 Request Header Fields Too Large", f"the head is larger than {_LARGEST_HEAD} bytes; send less")
_MALFORMED = _answer("400 Bad Request", "this is no HTTP/1.1 request")


class _RefusedError(Exception):
    """Tells the parser to stop."""


class Connection(HttpToolsProtocol):
    """The protocol of uvicorn with a place among those open, and a time in which each request must have come whole.

    As long may a connection wait for a request. One that finds no place is told so and closed. A request behind one
    that is not answered yet is not read, and the connection closes with that answer (RFC 9112, 9.3.2 and 9.6: the
    client asks again): uvicorn would queue thousands of them, and tell none but the last that the client left.

    A websocket is uvicorn's, but for its place, which stays taken until the connection ends.
    """

    places: ClassVar[Registry[str]]
    read_seconds: ClassVar[float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._place: Hashable | None = None
        self._head_size = 0
        self._silent = True
        self._upgraded = False
        self._due = 0.0
        self._deadline: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        try:
            self._place = self.places.add("connection")
        except LimitError:
            transport.write(_FULL)
            transport.close()
        else:
            self._due = self.loop.time() + self.read_seconds
            self._watch()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves it when the connection was reset
        self._leave()

    def _leave(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if self._place is not None:
            self.places.remove(self._place)
            self._place = None

    @override
    def data_received(self, data: bytes) -> None:
        if self._silent:
            self._silent = False
            self._due = self.loop.time() + self.read_seconds
        self._head_size += len(data)
        super().data_received(data)
        if self._head_size > _LARGEST_HEAD:
            self._refuse(_LARGE)

    @override
    def on_message_begin(self) -> None:
        if not self._receiving():
            raise _RefusedError
        super().on_message_begin()

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        """RFC 9110, 5.5: blanks around a value are none of it; httptools leaves those behind it."""
        name, value = name.lower(), value.rstrip(b" \t")
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    @override
    def on_headers_complete(self) -> None:
        if self._head_size > _LARGEST_HEAD and self._head() > _LARGEST_HEAD:  # the first also counts the body's begin
            self._refuse(_LARGE)
            raise _RefusedError
        if self.parser.get_http_version() not in _VERSIONS:
            raise _RefusedError
        super().on_headers_complete()
        if not self.parser.should_upgrade():
            self.headers = []  # of trailers, which go nowhere

    def _head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    @override
    def on_body(self, body: bytes) -> None:
        self._head_size -= len(body)
        super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head_size = 0

    @override
    def on_response_complete(self) -> None:
        """Await the next request: no other waits behind this one, and our deadline stands for uvicorn's timer."""
        self._silent = True
        self._due = self.loop.time() + self.read_seconds
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(_MALFORMED)

    def _refuse(self, answer: bytes) -> None:
        """Take nothing more; say why, unless an answer is on its way: then close when that is sent."""
        if self.transport.is_closing():
            return
        self._head_size = 0
        if not self._receiving():
            self.cycle.keep_alive = False
        elif self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
        else:
            self.transport.write(answer)
            self.transport.close()

    @override
    def handle_websocket_upgrade(self) -> None:
        """The socket goes on under another protocol, in this place and without the time limit of requests."""
        self._upgraded = True
        super().handle_websocket_upgrade()
        cast("Upgraded", self.transport.get_protocol()).left = self._leave

    @override
    def shutdown(self) -> None:
        """The server ends: an answer on its way may finish, a request on its way may not."""
        if self._receiving():
            self.transport.abort()
        else:
            super().shutdown()

    def _receiving(self) -> bool:
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def _watch(self) -> None:
        """Look again when a request would be due; a timer per request would cost more than all of this class."""
        now = self.loop.time()
        if self._upgraded:
            self._deadline = None
        elif self._receiving() and now >= self._due:
            self.transport.abort()
        else:
            again = self._due - now if self._due > now else self.read_seconds
            self._deadline = self.loop.call_later(again, self._watch)


def connections(places: Registry[str], read_seconds: float) -> type[Connection]:
    """The class for one server: uvicorn makes the objects, and knows nothing of what they need."""
    return type("BoundedConnection", (Connection,), {"places": places, "read_seconds": read_seconds})
