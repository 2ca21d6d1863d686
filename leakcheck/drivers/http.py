"""Plain HTTP requests, repeated: for services that know nothing of MCP.

Does not see: what an answer says. A status below 400 and a complete body is an answer.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

from leakcheck.credentials import Secrets
from leakcheck.drivers import Opened
from leakcheck.drivers.http_request import WireRequest, wire_request
from leakcheck.drivers.load_driver import Address, LoadDriver
from leakcheck.drivers.load_process import SOURCES, environment
from leakcheck.errors import UsageError
from leakcheck.model.event import NotPlayed
from leakcheck.model.plan import AuditPlan
from leakcheck.targets import Target

TRY_SECONDS = 10.0
"""Patience with the first answer to each further request."""
_START = "import sys; sys.path.append(sys.argv[1]); from leakcheck.drivers.http_load import main; main()"
"""-I -S keeps the user's site, PYTHONPATH and start-up files out; the folder goes last, so it shadows nothing."""
_NOT_PLAYED = tuple(
    NotPlayed(operation=operation, reason=reason)
    for operation, reason in (
        ("session", "plain HTTP knows no sessions"),
        ("abandon", "plain HTTP knows no sessions"),
        ("cancel", "plain HTTP knows no cancelling"),
        ("reject", "no request is known to be refused; name one with --request"),
    )
)


class HttpDriver(LoadDriver):
    """Sends the planned requests, four at a time; see the protocol `Driver`."""

    def __init__(self, plan: AuditPlan, headers: Mapping[str, str], secrets: Secrets) -> None:
        """Check every request. `headers` are sent with each. Raises UsageError."""
        if not plan.requests:
            raise UsageError("there is nothing to send; name a request: --request 'GET http://127.0.0.1:{port}/'")
        self._plan = plan
        self._requests = tuple(wire_request(request, headers) for request in plan.requests)
        first = self._requests[0]
        super().__init__(secrets, Address(place=first.place, asked=first.label, option="--request"))

    def open(self, target: Target) -> Opened:
        """Wait for the first answer, then try every request once. Raises NotReady or TargetDied."""
        requests = [dataclasses.asdict(request) for request in self._requests]
        command = (sys.executable, "-I", "-S", "-c", _START, SOURCES)
        self._start(target, command, environment(packages=False), {"requests": requests})
        timeout = self._plan.ready_timeout_seconds
        answers = [self._first_answer(lambda seconds: {"try": 0, "seconds": seconds}, timeout)]
        answers += [self._ask({"try": index, "seconds": TRY_SECONDS}) for index in range(1, len(self._requests))]
        tried = list(zip(self._requests, answers, strict=True))
        ending = [f"request:{one.label}" for one, answer in tried if "status" in answer and not answer["endless"]]
        endless = any(answer.get("endless") for answer in answers)
        self._kinds = (*dict.fromkeys(ending), *(("disconnect",) if endless else ()))
        missing = [
            NotPlayed(operation=f"request:{one.label}", reason=self._told(f"not answered: {answer['words']}"))
            for one, answer in tried
            if "missing" in answer
        ]
        without_end = () if endless else (NotPlayed(operation="disconnect", reason="every answer ended by itself"),)
        return Opened(
            server=self._secrets.hide(answers[0]["server"]) or target.root.role,
            protocol="HTTP/1.1",
            operations=self._kinds,
            not_played=(*missing, *_NOT_PLAYED, *without_end),
            warnings=tuple(warning for one, answer in tried if (warning := _warning(one, answer))),
        )


def _warning(request: WireRequest, answer: Mapping[str, Any]) -> str | None:
    if "missing" in answer:
        return f"{request.label} is not played: it had no answer within {TRY_SECONDS:g} s"
    if answer["endless"]:
        return f"{request.label} has no end: dropped after its first event or a second, counted as disconnect"
    if answer["status"] >= 500:
        return f"{request.label} answers {answer['status']}: each one is counted as failed"
    if answer["status"] >= 400:
        return f"{request.label} answers {answer['status']}: taken for its usual answer"
    return None
