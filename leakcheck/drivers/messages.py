"""JSON-RPC messages: requests encoded once and sent often, answers checked and not stored."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import cast

REFUSED = -32601
"""JSON-RPC: method not found."""
_OPENING = b'{"jsonrpc":"2.0","id":'
_SHORT = 2048
"""Bytes. Decoding a line below this costs less than the system calls that brought it."""
_ID_FIRST = re.compile(rb'\{"jsonrpc": ?"2\.0", ?"id": ?(\d{1,15}), ?"result":')
_ID_LAST = re.compile(rb', ?"jsonrpc": ?"2\.0", ?"id": ?(\d{1,15})\}\s*\Z')
_MAY_BE_ERROR = re.compile(rb'"isError"\s*:\s*(?!\s|false)')
_CUT = 200
_SAID = 2000
"""Characters kept of an error text until credentials are out of it; what is shown is cut further."""


class Expect(StrEnum):
    """What must come back."""

    RESULT = "result"
    """A result without isError."""
    ERROR = "error"
    """An error, or a result with isError."""
    ANSWER = "answer"
    """Anything with the right id."""


def shown(text: str, longest: int = _CUT) -> str:
    """Return text of the target on one line, control characters escaped, cut to `longest` characters."""
    safe = "".join(
        mark if mark.isprintable() else mark.encode("unicode_escape").decode("ascii") for mark in text[:longest]
    )
    return safe if len(text) <= longest else safe + "…"


def encoded(method: str, params: Mapping[str, object] | None = None) -> bytes:
    """Return a request without its opening and id: everything that stays the same from one call to the next."""
    body: dict[str, object] = {"method": method}
    if params is not None:
        body["params"] = params
    return b"," + json.dumps(body, separators=(",", ":"), ensure_ascii=True).encode()[1:] + b"\n"


def notification(method: str, params: Mapping[str, object] | None = None) -> bytes:
    """Return a whole notification line."""
    return b'{"jsonrpc":"2.0"' + encoded(method, params)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpc:
    """A request before a transport has encoded it, and what must come back."""

    words: str
    """What it is, for messages."""
    method: str
    params: Mapping[str, object] | None
    expect: Expect = Expect.RESULT

    def operation(self, kind: str, *, cancelled: bool = False) -> Operation:
        """Encode it for a conversation over stdin and stdout, counted as `kind`."""
        request = encoded(self.method, self.params)
        return Operation(kind=kind, words=self.words, request=request, expect=self.expect, cancelled=cancelled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One unit of work over stdin and stdout: a request, and what must come back."""

    kind: str
    """What it is counted as."""
    words: str
    """What it is, for messages."""
    request: bytes
    """As `encoded` returns it."""
    expect: Expect = Expect.RESULT
    cancelled: bool = False
    """Followed at once by `notifications/cancelled`; then a ping must be answered, which ends the operation."""
    pinged: bool = False
    """Preceded in the same write by a ping, whose answer ends it: the request itself is then on its way."""
    keeps: bool = False
    """The decoded answer is handed back."""

    def frames(self, number: int) -> tuple[bytes, int, int]:
        """Return the bytes to send if ids are free from `number` on, the id that ends it, and the next free id."""
        if self.pinged:
            return _with_id(number, _PING) + _with_id(number + 1, self.request), number, number + 2
        request = _with_id(number, self.request)
        if self.cancelled:
            return request + cancellation(number) + _with_id(number + 1, _PING), number + 1, number + 2
        return request, number, number + 1


_PING = encoded("ping")


def _with_id(number: int, request: bytes) -> bytes:
    return b"%b%d%b" % (_OPENING, number, request)


def cancellation(number: int) -> bytes:
    """Return the notification that the request with this id is no longer wanted."""
    return notification("notifications/cancelled", {"requestId": number, "reason": "leakcheck: cancelled"})


def reply(number: object, method: str) -> bytes:
    """Return the answer to a server's request: a pong, or that nothing else was offered."""
    answer: dict[str, object] = {"jsonrpc": "2.0", "id": number}
    if method == "ping":
        answer["result"] = {}
    else:
        answer["error"] = {"code": REFUSED, "message": "leakcheck offers no sampling, elicitation or roots"}
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"


def id_at_edge(line: bytes) -> int | None:
    """Return the id of a result whose id stands first or last, as both official SDKs write it, without decoding.

    Both positions are sure to be the top level of the message, provided that it is valid JSON.
    """
    found = _ID_FIRST.match(line)
    if not found and line.startswith(b'{"result":'):
        found = _ID_LAST.search(line, max(0, len(line) - 64))
    return int(found.group(1)) if found else None


def plain_success(line: bytes) -> int | None:
    """Return the id if a long line is for certain a result without isError: then it need not be decoded.

    Does not see: broken JSON inside a line over 2048 bytes that begins and ends well.
    """
    if len(line) < _SHORT or not line.rstrip().endswith(b"}") or _MAY_BE_ERROR.search(line):
        return None
    return id_at_edge(line)


def failure(message: Mapping[str, object], expect: Expect) -> str | None:
    """Return what is wrong with an answer, in words; None if it is what it should be."""
    said = _error_text(message)
    if expect is Expect.ANSWER:
        return None
    if expect is Expect.ERROR:
        return None if said is not None else "was accepted, where an error must come"
    if said is not None:
        return said
    return None if isinstance(message.get("result"), dict) else "the answer has neither result nor error"


def _error_text(message: Mapping[str, object]) -> str | None:
    if "error" in message:
        error = message["error"]
        if not isinstance(error, dict):
            return f"error {shown(repr(error))}"
        return f"error {shown(str(error.get('code')))}: {shown(str(error.get('message')), _SAID)}"
    result = message.get("result")
    if isinstance(result, dict) and result.get("isError") is True:
        return f"isError: {shown(_first_text(cast('dict[str, object]', result)), _SAID)}"
    return None


def _first_text(result: Mapping[str, object]) -> str:
    content = result.get("content")
    for item in content if isinstance(content, list) else ():
        if isinstance(item, dict) and isinstance(item.get("text"), str):
            return str(item["text"])
    return "without a text"
