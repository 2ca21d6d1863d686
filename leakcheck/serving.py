"""A watch's verdicts and values over HTTP on this machine: JSON, OpenMetrics, and the report as it would be now."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from leakcheck.errors import UsageError
from leakcheck.history import tracks
from leakcheck.model.audit import Audit, Round, Value
from leakcheck.model.moment import Moment
from leakcheck.model.wire import to_wire
from leakcheck.render import html, openmetrics

_MOST_CONNECTIONS = 16
_READ_SECONDS = 5.0
"""For one read of a request."""
_WHOLE_SECONDS = 15.0
"""For a connection as a whole: whoever sends one byte a second is cut off."""
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_TYPES = {
    "/": "text/html; charset=utf-8",
    "/audit.json": "application/json",
    "/metrics": openmetrics.CONTENT_TYPE,
}
_HEADERS = {
    "Content-Type": "text/plain; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Documents:
    """What is served until the next look: verdicts rendered when they were reached, values when they are asked for."""

    moment: Moment
    head: bytes
    """audit.json up to the last round of its `rounds`, which stand at its end."""
    page: bytes

    def render(self, path: str) -> tuple[bytes, ...]:
        """Give one of the documents, in pieces: the long ones are not copied for each request."""
        if path == "/":
            return (self.page,)
        latest = _latest(self.moment)
        if path == "/metrics":
            return (openmetrics.render(replace(self.moment.audit, rounds=(latest,))),)
        comma = b"," if self.moment.audit.rounds else b""
        return self.head, comma, _json(latest), b"]}\n"


class Serving:
    """Serves one watch on a thread of its own, from when it is made. Use it as a context manager.

    Answers only whom asks for this machine by its own name, so that no web page can read it through a name of its
    own (DNS rebinding); nobody else's page may read the answer either, for no CORS header is sent.
    """

    def __init__(self, host: str, port: int) -> None:
        """Take the address; port 0 is any free one. Raises UsageError when it is taken."""
        try:
            self._server = _Server(host, port, self._document)
        except OSError as error:
            raise UsageError(
                f"--serve {host}:{port}: the address cannot be used ({error.strerror}); give another port, or 0 for "
                "any free one"
            ) from error
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}/"
        self._documents: _Documents | None = None
        self._thread = threading.Thread(target=self._server.serve_forever, name="leakcheck serving", daemon=True)

    def publish(self, moment: Moment) -> None:
        """Serve this from now on."""
        before = self._documents
        if before is not None and before.moment.audit is moment.audit:
            self._documents = replace(before, moment=moment)
        else:
            self._documents = _Documents(moment=moment, head=_head(moment.audit), page=html.render(moment.audit))
        self._server.cut_off_the_slow()

    def _document(self, path: str) -> tuple[bytes, ...]:
        documents = self._documents
        return () if documents is None else documents.render(path)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """At most so many connections at once, none for longer than it takes."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, host: str, port: int, document: Callable[[str], tuple[bytes, ...]]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.document = document
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

    server: _Server
    timeout = _READ_SECONDS
    server_version = "leakcheck"
    sys_version = ""

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Give the one answer to every method; the standard library looks for `do_METHOD`."""
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        path = self.path.partition("?")[0]
        if self.command not in {"GET", "HEAD"}:
            self._send(HTTPStatus.METHOD_NOT_ALLOWED, b"Only GET and HEAD.\n", headers={"Allow": "GET, HEAD"})
        elif not _is_loopback(self.headers.get_all("Host", [])):
            self._send(HTTPStatus.MISDIRECTED_REQUEST, b"Ask for 127.0.0.1 or localhost.\n")
        elif path not in _TYPES:
            self._send(HTTPStatus.NOT_FOUND, f"There is {', '.join(_TYPES)}.\n".encode())
        elif pieces := self.server.document(path):
            self._send(HTTPStatus.OK, *pieces, headers={"Content-Type": _TYPES[path]})
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


def _head(audit: Audit) -> bytes:
    """Write an audit as JSON with its rounds last and the list of them open: the latest look is still to follow."""
    whole = to_wire(audit)
    rounds = [_json(one) for one in whole.pop("rounds")]
    return _json(whole)[:-1] + b',"rounds":[' + b",".join(rounds)


def _json(value: object) -> bytes:
    return json.dumps(to_wire(value), separators=(",", ":"), allow_nan=False).encode("ascii")


def _latest(moment: Moment) -> Round:
    """Return the last look as a round of its own, which follows those that were judged."""
    look, floors = moment.look, [moment.look] if moment.floor is None else [moment.floor, moment.look]
    before = moment.audit.rounds[-1].readings if moment.audit.rounds else {}
    known = {one.name: one for one in (*moment.audit.resources, *look.resources)}
    return Round(
        number=len(moment.audit.rounds),
        phase=look.phase,
        at_seconds=look.snapshot.at_seconds,
        operations={},
        failed={},
        load_seconds=look.load_seconds,
        settle_seconds=0.0,
        settled=True,
        readings={
            name: Value(
                total=track.totals[-1],
                growth=track.growth[-1] + (before[name].growth if name in before else 0.0),
                broken=track.broken[-1],
                roles=track.roles[-1],
            )
            for name, track in tracks(tuple(known.values()), floors).items()
            if track.present[-1]
        },
        unread=tuple(sorted({one.resource for one in look.snapshot.unread})),
    )
