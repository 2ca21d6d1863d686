"""Plain HTTP requests, repeated: for services that know nothing of MCP.

The load runs in a process of its own (`http_load.py`), so that its CPU time and its sockets are not the auditor's.

Does not see: what an answer says. A status below 400 and a complete body is an answer.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from leakcheck.credentials import Secrets
from leakcheck.drivers import Opened, Played
from leakcheck.drivers._ended import died, has_ended, last_words
from leakcheck.drivers.http_request import WireRequest, wire_request
from leakcheck.errors import LeakcheckError, NotReady, TargetDied, UsageError
from leakcheck.model.event import Copy, NotPlayed
from leakcheck.model.plan import AuditPlan
from leakcheck.targets import Target

CONCURRENCY = 4
TRY_SECONDS = 10.0
"""Patience with the first answer to each further request."""
_BEFORE = "before its first answer; check COMMAND"
_WHILE = "while requests were sent to it"

_SOURCES = str(Path(__file__).resolve().parents[2])
_START = "import sys; sys.path.append(sys.argv[1]); from leakcheck.drivers.http_load import main; main()"
"""-I -S keeps the user's site, PYTHONPATH and start-up files out; the folder goes last, so it shadows nothing."""
_PASSED_ON = ("LD_LIBRARY_PATH", "SSL_CERT_DIR", "SSL_CERT_FILE")
"""All of our environment that the load gets: the rest may hold secrets, and /proc/PID/environ shows them."""
_NOT_PLAYED = tuple(
    NotPlayed(operation=operation, reason=reason)
    for operation, reason in (
        ("session", "plain HTTP knows no sessions"),
        ("abandon", "plain HTTP knows no sessions"),
        ("cancel", "plain HTTP knows no cancelling"),
        ("reject", "no request is known to be refused; name one with --request"),
    )
)


class HttpDriver:
    """Sends the planned requests; see the protocol `Driver`."""

    def __init__(self, plan: AuditPlan, headers: Mapping[str, str], secrets: Secrets) -> None:
        """Check every request. `headers` are sent with each. Raises UsageError."""
        if not plan.requests:
            raise UsageError("there is nothing to send; name a request: --request 'GET http://127.0.0.1:{port}/'")
        self._plan = plan
        self._secrets = secrets
        self._requests = tuple(wire_request(request, headers) for request in plan.requests)
        self._target: Target | None = None
        self._load: subprocess.Popen[bytes] | None = None
        self._operations: tuple[str, ...] = ()

    def open(self, target: Target) -> Opened:
        """Wait for the first answer, then try every request once. Raises NotReady or TargetDied."""
        self._target = target
        self._start()
        answers = [self._first_answer(target)]
        answers += [self._ask({"try": index, "seconds": TRY_SECONDS}) for index in range(1, len(self._requests))]
        tried = list(zip(self._requests, answers, strict=True))
        ending = [f"request:{one.label}" for one, answer in tried if "status" in answer and not answer["endless"]]
        endless = any(answer.get("endless") for answer in answers)
        self._operations = (*dict.fromkeys(ending), *(("disconnect",) if endless else ()))
        missing = [
            NotPlayed(operation=f"request:{one.label}", reason=self._secrets.hide(f"not answered: {answer['words']}"))
            for one, answer in tried
            if "missing" in answer
        ]
        without_end = () if endless else (NotPlayed(operation="disconnect", reason="every answer ended by itself"),)
        return Opened(
            server=self._secrets.hide(answers[0]["server"]) or target.root.role,
            protocol="HTTP/1.1",
            operations=self._operations,
            not_played=(*missing, *_NOT_PLAYED, *without_end),
            warnings=tuple(warning for one, answer in tried if (warning := _warning(one, answer))),
        )

    def play(self, doses: Mapping[str, int]) -> Played:
        """Send that many requests of each kind, four at a time. Raises TargetDied."""
        unknown = sorted(set(doses) - set(self._operations))
        if unknown or self._target is None:
            raise ValueError(f"operations {unknown} were not opened; opened are {list(self._operations)}")
        reply = self._ask({"play": {operation: dose for operation, dose in doses.items() if dose > 0}})
        if reply["gone"]:
            self._raise_gone(self._target)
        if has_ended(self._target):
            raise died(self._target, _WHILE)
        problem = reply["problem"]
        return Played(
            done=reply["done"],
            failed=reply["failed"],
            seconds=reply["seconds"],
            problem=None if problem is None else self._secrets.hide(problem),
        )

    def undo(self) -> None:
        """Nothing: plain HTTP has no undoing calls."""

    def copies(self, seconds: float) -> Iterator[Copy]:  # noqa: ARG002 - the protocol's signature
        """Start no copies: each would need a port of its own."""
        yield from ()

    def processes(self) -> tuple[int, ...]:
        """The load process, while there is one."""
        return () if self._load is None or self._load.poll() is not None else (self._load.pid,)

    @property
    def cpu_seconds(self) -> float:
        """None has ended: 0."""
        return 0.0

    def close(self) -> None:
        """End the load process; its connections close with it."""
        load, self._load = self._load, None
        if load is None:
            return
        try:
            if load.stdin is not None:
                load.stdin.close()
        except OSError:
            pass  # it ended before it read the last line
        try:
            load.wait(2.0)
        except subprocess.TimeoutExpired:
            load.kill()
            load.wait()
        for pipe in (load.stdout, load.stderr):
            if pipe is not None:
                pipe.close()

    def _start(self) -> None:
        self._load = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _START, _SOURCES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            start_new_session=True,  # Ctrl-C is for the auditor, who then closes stdin
        )
        requests = [dataclasses.asdict(request) for request in self._requests]
        self._tell({"concurrency": CONCURRENCY, "requests": requests})

    def _first_answer(self, target: Target) -> dict[str, Any]:
        deadline = time.monotonic() + self._plan.ready_timeout_seconds
        pause = 0.01
        while True:
            left = deadline - time.monotonic()
            # Half of what is left: a server that never answers its very first connection gets further chances.
            answer = self._ask({"try": 0, "seconds": max(0.1, min(left, max(2.0, left / 2)))}, _BEFORE)
            if "status" in answer:
                return answer
            if has_ended(target):
                raise died(target, _BEFORE)
            if answer["missing"] in {"garbage", "tls"} or time.monotonic() + pause > deadline:
                raise self._not_ready(target, answer)
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _not_ready(self, target: Target, answer: Mapping[str, Any]) -> NotReady:
        place = self._requests[0].place
        after = f"after {self._plan.ready_timeout_seconds:g} s"
        said = self._secrets.hide(answer["words"])
        if answer["missing"] == "garbage":
            sentence = f"{place} answers, but not HTTP: {said}; check port and scheme of --request"
        elif answer["missing"] == "tls":
            sentence = (
                f"{place} takes connections, but not for https: {said}; say http:// if it is plain, or name its"
                " certificate in SSL_CERT_FILE"
            )
        elif answer["missing"] == "refused":
            sentence = (
                f"nothing listens on {place} {after} ({said}); check that COMMAND serves that port ({{port}} in both"
                " becomes a free one), or raise --ready-timeout"
            )
        else:
            sentence = (
                f"{place} takes connections, but {self._requests[0].label} has no answer {after} ({said});"
                " check the path, or raise --ready-timeout"
            )
        return NotReady(f"{sentence}; {last_words(target)}")

    def _raise_gone(self, target: Target) -> None:
        place = self._requests[0].place
        if has_ended(target, within_seconds=1.0):
            raise died(target, _WHILE)
        raise TargetDied(f"the target still runs, but nothing listens on {place} any more; {last_words(target)}")

    def _ask(self, message: Mapping[str, object], when: str = _WHILE) -> dict[str, Any]:
        """One line to the load process, one line back. Raises TargetDied when the target ends meanwhile."""
        self._tell(message)
        load, target = self._load, self._target
        if load is None or load.stdout is None or target is None:
            raise RuntimeError("open() comes before this")
        reply = b""
        while not reply.endswith(b"\n"):
            if select.select([load.stdout], [], [], 0.2)[0]:
                received = os.read(load.stdout.fileno(), 65536)
                if not received:
                    raise self._load_broke(load)
                reply += received
            elif has_ended(target):
                raise died(target, when)
        parsed: dict[str, Any] = json.loads(reply)
        return parsed

    def _tell(self, message: Mapping[str, object]) -> None:
        load = self._load
        if load is None or load.stdin is None:
            raise RuntimeError("open() comes before this, close() after")
        try:
            load.stdin.write(json.dumps(message).encode() + b"\n")
            load.stdin.flush()
        except BrokenPipeError:
            raise self._load_broke(load) from None

    def _load_broke(self, load: subprocess.Popen[bytes]) -> LeakcheckError:
        said = load.stderr.read(65536).decode(errors="replace").strip() if load.stderr is not None else ""
        last = said.splitlines()[-1] if said else "it printed nothing"
        return LeakcheckError(
            f"the load process ended with code {load.wait(5.0)} ({self._secrets.hide(last)}); run the audit again,"
            " and report it if it happens twice"
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
