"""What a message must be before the SDK sees it, over HTTP and stdio alike.

The SDK (2.3.0) takes `"id": null` and `"id": {}` for a notification and never answers, lets NaN and 1e999 pass as
numbers, and of several requests with one id in one session answers the last alone: the others hang, with their sockets
(7 and "7" are one id to it).
Duplicate keys of an object are no error: the last one counts, as in most JSON readers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple

import mcp_types as mcp
from mcp.shared.dispatcher import coerce_request_id
from pydantic_core import from_json

from mimo_server.supervision.registry import Registry

_LONGEST_ID = 256
_MOST_COMMAS = 250_000
"""In all of a message, hence about so many values. A million in one array cost 0.2 s of everybody's time, as each
layer of the SDK reads them again; 100 memories with 1,536 numbers each are 154,000."""


class RefusedError(Exception):
    """This message gets no further. `code` is one of JSON-RPC's."""

    def __init__(self, code: int, message: str, number: str | int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.number = number

    def answer(self) -> mcp.JSONRPCError:
        """What the client gets; nothing of what it sent is repeated but a well-formed id."""
        return mcp.JSONRPCError(jsonrpc="2.0", id=self.number, error=mcp.ErrorData(code=self.code, message=str(self)))


class Message(NamedTuple):
    """What of a message decides on its way."""

    raw: Any
    id: str | int | None
    """None: a notification, or a response."""
    method: str | None
    cancels: str | int | None
    """The id of the request that it cancels."""
    wants_progress: bool
    """It carries a progress token."""
    unasked: bool
    """A response, though this server asks its clients nothing."""


def message(data: bytes) -> Message:
    """Read one message. Raises RefusedError; costs 8 µs for a small one."""
    if data.count(b",") > _MOST_COMMAS:
        raise RefusedError(mcp.INVALID_PARAMS, f"a message may have {_MOST_COMMAS} commas; send less at once")
    try:
        raw = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise RefusedError(
            mcp.PARSE_ERROR, "this is no JSON (RFC 8259: UTF-8, no NaN, no numbers of thousands of digits)"
        ) from error
    if not _finite(raw):
        raise RefusedError(mcp.PARSE_ERROR, "a number is beyond what a float64 holds")
    if not isinstance(raw, dict):
        raise RefusedError(mcp.INVALID_REQUEST, "one JSON-RPC 2.0 message, an object, is taken at a time")
    number = raw.get("id")
    if "id" in raw and not _fit(number):
        raise RefusedError(mcp.INVALID_REQUEST, "the id of a request is a string (up to 256 characters) or an integer")
    return _read(raw, number)


def _read(raw: dict[str, Any], number: Any) -> Message:
    method, params = raw.get("method"), raw.get("params")
    unasked = "method" not in raw and "id" in raw and ("result" in raw or "error" in raw)
    if raw.get("jsonrpc") != "2.0" or not (isinstance(method, str) or unasked):
        raise RefusedError(mcp.INVALID_REQUEST, 'this has no "jsonrpc": "2.0", or no method that is a string', number)
    if not isinstance(params, dict | None):
        raise RefusedError(mcp.INVALID_REQUEST, "params must be an object", number)
    told: dict[str, Any] = params or {}
    meta: Any = told.get("_meta")
    wants_progress = isinstance(meta, dict) and "progressToken" in meta
    if wants_progress and not _fit(meta["progressToken"]):
        raise RefusedError(
            mcp.INVALID_PARAMS, "a progressToken is a string (up to 256 characters) or an integer", number
        )
    cancelled = told.get("requestId") if method == "notifications/cancelled" else None
    return Message(
        raw=raw,
        id=None if unasked else number,
        method=method,
        cancels=cancelled if _fit(cancelled) else None,
        wants_progress=wants_progress,
        unasked=unasked,
    )


def _finite(raw: Any) -> bool:
    """Whether no float is beyond what a float64 holds (1.8e308). One level at a time, so that C does the counting."""
    level = [raw]
    while level:
        if float in set(map(type, level)) and not all(math.isfinite(one) for one in level if type(one) is float):
            return False
        inner = (one.values() if type(one) is dict else one for one in level if type(one) is dict or type(one) is list)
        level = list(chain.from_iterable(inner))
    return True


def _fit(number: object) -> bool:
    if isinstance(number, str):
        return len(number) <= _LONGEST_ID
    return isinstance(number, int) and not isinstance(number, bool) and abs(number) < 2**63


@contextmanager
def in_flight(table: Registry[str], conversation: str, number: str | int | None) -> Iterator[None]:
    """A place in the table of requests in flight. Raises RefusedError when the id is in use in this conversation.

    Raises LimitError when the table is full.
    """
    if number is None:
        yield
        return
    key = (conversation, coerce_request_id(number))
    if table.get(key) is not None:
        raise RefusedError(mcp.INVALID_REQUEST, "a request with this id is in flight; ids must be unique", number)
    table.add("request", key=key)
    try:
        yield
    finally:
        table.remove(key)
