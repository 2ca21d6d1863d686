"""One request as Locust counts it: how long it took, what was wrong, and when it has taken too long.

Does not see: what goes on in other greenlets meanwhile.
"""

from __future__ import annotations

import ssl
import time
from types import TracebackType

import gevent
from locust import User

from loadtests.http_wire import GarbageError
from loadtests.mcp_wire import MissingError, WrongError

FAILURES = (OSError, GarbageError)
"""What the HTTP client raises where there is no answer."""


class Counted:
    """A context for one request, which Locust hears of at its end; within it, `length` of what it yields is set.

    A class, since a generator would cost each request microseconds more.
    """

    __slots__ = ("_began", "_count", "_method", "_name", "_patience", "_timer", "_user")

    def __init__(self, user: User, patience: float, method: str, name: str) -> None:
        self._user, self._patience, self._method, self._name = user, patience, method, name
        self._count = {"length": 0}

    def __enter__(self) -> dict[str, int]:
        self._began = time.perf_counter()
        self._timer = gevent.Timeout.start_new(self._patience)
        return self._count

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.close()
        failure = None if error is None else self._failure(error)
        self._user.environment.events.request.fire(
            request_type=self._method,
            name=self._name,
            response_time=(time.perf_counter() - self._began) * 1000.0,
            response_length=self._count["length"],
            exception=failure,
            context=self._user.context(),
        )
        if failure is not None and failure is not error:
            raise failure from (None if error is self._timer else error)

    def _failure(self, error: BaseException) -> Exception | None:
        """What Locust is told: nothing of what is no failure of the request, such as the end of the user."""
        if isinstance(error, MissingError | WrongError):
            return error
        if error is self._timer or isinstance(error, FAILURES):
            return missing(error, self._patience)
        return None


def missing(error: BaseException, patience: float) -> MissingError:
    """Return why there was no answer, from what the HTTP client raised."""
    if isinstance(error, ConnectionRefusedError):
        return MissingError("refused", "the connection was refused")
    if isinstance(error, TimeoutError | gevent.Timeout):
        return MissingError("silent", f"no answer within {patience:g} s")
    if isinstance(error, ssl.SSLError):
        return MissingError("tls", f"no TLS: {error.reason or error}")
    if isinstance(error, ConnectionError):
        return MissingError("closed", "the connection was closed before the answer was complete")
    if isinstance(error, OSError):
        return MissingError("refused", f"no connection: {error}")
    return MissingError("garbage", f"the answer is no HTTP: {error}")
