"""HTTP for readers on this machine: GET and HEAD, few connections at once, none for long, no CORS."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_MOST_CONNECTIONS = 16
_READ_SECONDS = 5.0
"""For one read of a request."""
_WHOLE_SECONDS = 15.0
"""For a connection as a whole: whoever sends one byte a second is cut off."""
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = {
    "Content-Type": "text/plain; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
Document = Callable[[str, str], tuple[bytes, ...]]
"""From path and query to a document in pieces; empty: there is none yet. A ValueError says what is wrong with the
query."""


class Server(ThreadingHTTPServer):
    """At most 16 connections at once, none for longer than 15 s.

    Answers only whom asks for this machine by its own name, so that no web page can read it through a name of its
    own (DNS rebinding); nobody else's page may read the answer either, for no CORS header is sent.
    Does not see: which user of this machine asks.
    """

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, host: str, port: int, types: Mapping[str, str], document: Document) -> None:
        """Take the address; OSError when it can't be had. `types` names every path, and what is found there."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.types, self.document = types, document
        self._begun: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the resolver for this machine's name, as the standard library does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer on a thread, or close the connection where there are too many."""
        with self._lock:
            has_room = len(self._begun) < _MOST_CONNECTIONS
            if has_room:
                self._begun[request] = time.monotonic()
        if has_room:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Let go of one connection."""
        with self._lock:
            self._begun.pop(request, None)
        super().shutdown_request(request)

    def cut_off_the_slow(self) -> None:
        """End the connections that have been there for too long; called now and then."""
        latest = time.monotonic() - _WHOLE_SECONDS
        with self._lock:
            slow = [one for one, begun in self._begun.items() if begun < latest]
            for one in slow:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away in the middle; all else is a fault of ours, and shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Answers one request, and closes the connection."""

    server: Server
    timeout = _READ_SECONDS
    server_version = "leakcheck"
    sys_version = ""

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Give the one answer to every method; the standard library looks for `do_METHOD`."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        path, _, query = self.path.partition("?")
        if self.command not in {"GET", "HEAD"}:
            self._send(HTTPStatus.METHOD_NOT_ALLOWED, b"Only GET and HEAD.\n", headers={"Allow": "GET, HEAD"})
        elif not _is_loopback(self.headers.get_all("Host", [])):
            self._send(HTTPStatus.MISDIRECTED_REQUEST, b"Ask for 127.0.0.1 or localhost.\n")
        elif path not in self.server.types:
            self._send(HTTPStatus.NOT_FOUND, f"There is {', '.join(self.server.types)}.\n".encode())
        else:
            self._give(path, query)

    def _give(self, path: str, query: str) -> None:
        try:
            pieces = self.server.document(path, query)
        except ValueError as error:
            self._send(HTTPStatus.BAD_REQUEST, f"{error}\n".encode("utf-8", "replace"))
            return
        if pieces:
            self._send(HTTPStatus.OK, *pieces, headers={"Content-Type": self.server.types[path]})
        else:
            self._send(HTTPStatus.SERVICE_UNAVAILABLE, b"Nothing was seen yet.\n", headers={"Retry-After": "1"})

    def _send(self, status: HTTPStatus, *pieces: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        length = {"Content-Length": str(sum(map(len, pieces)))}
        for name, value in {**_HEADERS, **length, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.writelines(pieces)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Write nothing: the terminal shows the watch."""


def _is_loopback(hosts: list[str]) -> bool:
    """Whether a request has one Host header, and that names this machine."""
    if len(hosts) != 1:
        return False
    name, colon, port = hosts[0].strip().rpartition(":")
    if colon and port.isascii() and port.isdigit():
        return name.lower() in _LOOPBACK
    return hosts[0].strip().lower() in _LOOPBACK
