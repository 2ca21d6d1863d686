"""A planned request, checked and turned into what goes over the wire."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urlsplit

from leakcheck.errors import UsageError
from leakcheck.model.plan import Request

THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})

NUMBER = "{n}"
"""Stands for 1, 2, 3, … in a request's URL and body, the same in every round."""
INPUTS = 200
"""So many different ones: what a server keeps of each input it has kept after a few rounds, and a leak goes on."""

_METHOD = re.compile(r"[A-Z][A-Z-]*")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_OURS = frozenset({"connection", "content-length", "transfer-encoding"})
"""Headers that the load sets itself: another value would desynchronise the connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """What the load process needs; holds header values, so it is never logged."""

    label: str
    host: str
    port: int
    secure: bool
    head: str
    """Request line and headers, each ended by CR LF; the load adds `Content-Length`, `Connection`, the blank line."""
    body: str
    sized: bool
    """Whether it says how long its body is, be it empty."""

    @property
    def place(self) -> str:
        """HOST:PORT for people."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def wire_request(request: Request, headers: Mapping[str, str]) -> WireRequest:
    """Check one `--request` (its `{port}` filled) and write it out. Raises UsageError."""
    parts, port = _checked_url(request)
    if not _METHOD.fullmatch(request.method) or request.method == "CONNECT":
        raise UsageError(f"{request.method!r} is no HTTP method for --request; write for example 'GET {request.url}'")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
        "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?") if parts.query else ""
    )
    target = target.replace("%7Bn%7D", NUMBER)
    fields = {"Host": parts.netloc, "User-Agent": "leakcheck", "Accept": "*/*"}
    body = request.body
    if body is not None:
        fields["Content-Type"] = _content_type(body)
    given = {name.lower() for name in headers}
    lines = [f"{name}: {value}" for name, value in fields.items() if name.lower() not in given]
    lines += [checked_header(name, value) for name, value in headers.items()]
    return WireRequest(
        label=request.label,
        host=parts.hostname or "",
        port=port,
        secure=parts.scheme == "https",
        head="".join(f"{line}\r\n" for line in (f"{request.method} {target} HTTP/1.1", *lines)),
        body=body or "",
        sized=body is not None or request.method in {"POST", "PUT", "PATCH"},
    )


def _checked_url(request: Request) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(request.url)
        port = parts.port
        host = parts.hostname
    except ValueError as error:
        raise UsageError(
            f"--request {request.label!r} has no valid URL ({error}); write METHOD http://127.0.0.1:PORT/PATH"
        ) from None
    if parts.scheme not in {"http", "https"} or not host:
        raise UsageError(
            f"--request {request.label!r} has the scheme {parts.scheme!r} and the host {host!r};"
            " write METHOD http://127.0.0.1:PORT/PATH"
        )
    if parts.username is not None:
        raise UsageError(
            f"--request {request.label!r} holds credentials in its URL; send them with --header 'Authorization: $VAR'"
        )
    if host not in THIS_MACHINE:
        raise UsageError(
            f"--request {request.label!r} names the host {host!r}: leakcheck sends load to this machine only;"
            " use 127.0.0.1, localhost or [::1]"
        )
    return parts, port or (443 if parts.scheme == "https" else 80)


def checked_header(name: str, value: str) -> str:
    """Return one `--header` as its line. Raises UsageError if it would break the request."""
    if not _NAME.fullmatch(name) or any(sign in value for sign in "\r\n\0"):
        raise UsageError(f"--header {name!r} is no header of one line; write --header 'NAME: VALUE'")
    if name.lower() in _OURS:
        raise UsageError(f"--header {name!r} is set by leakcheck itself; leave it out")
    return f"{name}: {value}"


def _content_type(body: str) -> str:
    try:
        json.loads(body)
    except ValueError:
        return "text/plain; charset=utf-8"
    return "application/json"
