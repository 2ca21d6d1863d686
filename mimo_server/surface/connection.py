"""One TCP connection of an HTTP client: counted, bounded, and dropped when its request does not come.

uvicorn (0.54) has no time limit for a request on its way: its keep-alive timer runs between requests only, and each
byte stops it. 200 half-sent requests held 200 descriptors for as long as their clients liked.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from typing_extensions import override
from uvicorn.protocols.http.h11_impl import H11Protocol

from mimo_server.errors import LimitError
from mimo_server.supervision.registry import Registry

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 48\r\nConnection: close\r\n\r\n"
    b"too many connections are open; try again shortly"
)


class Connection(H11Protocol):
    """The protocol of uvicorn with a place among those open, and a time in which each request must have come whole.

    As long may a connection wait for a request. One that finds no place is told so and closed.
    """

    places: ClassVar[Registry[str]]
    read_seconds: ClassVar[float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._place: int | None = None
        self._silent = True
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
            self._watch(afresh=True)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves it when the connection was reset
        self._stop_watching()
        if self._place is not None:
            self.places.remove(self._place)

    @override
    def data_received(self, data: bytes) -> None:
        first, self._silent = self._silent, False
        super().data_received(data)
        self._watch(afresh=first)

    @override
    def on_response_complete(self) -> None:
        self._silent = True  # first, for what is pipelined behind it starts at once
        super().on_response_complete()
        self._watch(afresh=True)

    @override
    def shutdown(self) -> None:
        """The server ends: an answer on its way may finish, a request on its way may not."""
        if self._receiving():
            self.transport.abort()
        else:
            super().shutdown()

    def _receiving(self) -> bool:
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def _watch(self, *, afresh: bool) -> None:
        """Run the clock while a request is awaited; `afresh` sets it back."""
        if afresh or not self._receiving():
            self._stop_watching()
        if self._deadline is None and self._receiving() and not self.transport.is_closing():
            self._deadline = self.loop.call_later(self.read_seconds, self.transport.abort)

    def _stop_watching(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def connections(places: Registry[str], read_seconds: float) -> type[Connection]:
    """The class for one server: uvicorn makes the objects, and knows nothing of what they need."""
    return type("BoundedConnection", (Connection,), {"places": places, "read_seconds": read_seconds})
