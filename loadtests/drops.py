"""One connection of its own, which can be dropped at an exact point of a request."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import gevent.socket
from geventhttpclient.response import HTTPSocketResponse


class Connection:
    """Connects at once; leaving the `with` drops it, whatever is under way. Use within `McpUser.counted`."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float) -> None:
        """`headers` go with every request: tokens."""
        self._parts = urlsplit(url)
        self._headers = headers
        secure = self._parts.scheme == "https"
        where = (self._parts.hostname or "", self._parts.port or (443 if secure else 80))
        self._sock = gevent.socket.create_connection(where, timeout)
        if secure:
            context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False  # as McpUser's: what is audited runs on this machine
            context.verify_mode = ssl.CERT_NONE
            self._sock = context.wrap_socket(self._sock, server_hostname=where[0])

    def send(self, method: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Send a whole request."""
        target = (self._parts.path or "/") + (f"?{self._parts.query}" if self._parts.query else "")
        fields = {"Host": self._parts.netloc.rpartition("@")[2], **self._headers, **headers}
        if body:
            fields["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._sock.sendall(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body)

    def first_bytes(self) -> bool:
        """Wait for the first bytes of the answer; False if the server closed instead."""
        return bool(self._sock.recv(1))

    def answer(self, method: str) -> HTTPSocketResponse:
        """Wait for the headers of the answer; its body is read from what this returns."""
        return HTTPSocketResponse(self._sock, method=method)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._sock.close()
