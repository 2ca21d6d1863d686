"""The load of the plain-HTTP driver: a process of its own, controlled by JSON lines on stdin and stdout.

The first line in is the configuration: the requests as they go over the wire (their headers are secrets and stay out of
argv and environment). Then each line asks for one thing and gets one line back:

    {"try": 0, "seconds": 5}            → {"status": 200, "server": "…", "endless": false}
                                          or {"missing": "refused|tls|silent|closed|garbage", "words": "…"}
    {"play": {"request:GET /": 40}}     → {"done": {…}, "failed": {…}, "seconds": {…}, "problem": null, "gone": false,
                                           "cpu_seconds": 0.02}

Half of the requests go over connections that are kept, also between rounds; half ask the server to close. The n-th
request of a kind is the same one in every round. The process ends when its stdin does.

Does not see: a wrong answer with the right status.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from leakcheck.drivers.http_request import INPUTS, NUMBER
from leakcheck.drivers.http_wire import Answer, Missing, Origin

ENDLESS_SECONDS = 1.0
"""At the first try, a body without a stated length that goes on for longer is taken to have no end."""
ANSWER_SECONDS = 10.0
"""The least patience with an answer; four times the first try's time if that is more."""
REFUSED_SECONDS = 2.0
"""How long a refused connection is tried again: a supervisor may be replacing a worker."""
QUICK_SECONDS = 0.5
"""A first answer that took longer is not repeated to fill the kept connections."""


@dataclass(slots=True, kw_only=True)
class Request:
    """One request as bytes, with what its first try has shown."""

    origin: Origin
    label: str
    kept: tuple[bytes, ...]
    """One for each input, over a connection that is kept; likewise `closing`."""
    closing: tuple[bytes, ...]
    usual_status: int = 200
    answered: bool = False
    """Whether its first try was answered; it is not played otherwise."""
    endless: bool = False
    patience: float = ANSWER_SECONDS

    @property
    def operation(self) -> str:
        """The kind that it is counted as."""
        return "disconnect" if self.endless else f"request:{self.label}"

    def is_failure(self, status: int) -> bool:
        """A server's error always; a client's error unless the first try was answered the same way."""
        return status >= 500 or (status >= 400 and status != self.usual_status)


def exchange(request: Request, number: int = 0, *, keep: bool, deadline: float, trial: bool = False) -> Answer:
    """Send one request and read its answer to the end; a trial finds out whether there is one. Raises Missing.

    `number` chooses its input.

    A kept connection that ends without a byte was closed by the server while idle: then the request goes out once more.
    """
    while True:
        connection = request.origin.kept() if keep else request.origin.fresh()
        usable = False
        answer = None
        try:
            sent = request.kept if keep or request.endless else request.closing
            connection.send(sent[number % len(sent)], request.patience)
            answer = connection.answer(deadline, bodyless=sent[0].startswith(b"HEAD "))
            if request.endless:
                connection.skip_first_event(answer, deadline)
            else:
                ends = trial and answer.length is None
                until = min(deadline, time.monotonic() + ENDLESS_SECONDS) if ends else deadline
                usable = connection.skip_body(answer, until)
        except Missing as missing:
            if trial and answer is not None and answer.length is None and missing.kind == "silent":
                request.endless = True
            elif not (connection.reused and missing.kind == "closed" and not connection.heard):
                raise
        finally:
            if not keep:
                connection.sock.close()
            elif usable:
                request.origin.keep(connection)
            else:
                request.origin.drop(connection)
        if answer is not None:
            return answer


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one play did; the threads share it under its lock."""

    done: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    problem: str | None = None
    gone: bool = False
    """Nothing listened any more: what was left is not played."""
    silent: int = 0
    """Answers missed one after the other."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, operation: str, seconds: float, problem: str | None, *, silent: bool = False) -> None:
        """Enter one request that reached the server."""
        with self.lock:
            self.silent = self.silent + 1 if silent else 0
            self.done[operation] = self.done.get(operation, 0) + 1
            self.seconds[operation] = self.seconds.get(operation, 0.0) + seconds
            if problem is not None:
                self.failed[operation] = self.failed.get(operation, 0) + 1
                self.problem = self.problem or problem


class Load:
    """The requests of one audit, and the threads that send them."""

    def __init__(self, configuration: Mapping[str, Any]) -> None:
        self._concurrency = int(configuration["concurrency"])
        origins: dict[tuple[str, int, bool], Origin] = {}
        self._requests = []
        for line in configuration["requests"]:
            where = (line["host"], line["port"], line["secure"])
            if where not in origins:
                origins[where] = Origin(*where[:2], secure=where[2], limit=self._concurrency)
            kept, closing = (_written(line, ending) for ending in ("keep-alive", "close"))
            self._requests.append(Request(origin=origins[where], label=line["label"], kept=kept, closing=closing))

    def attempt(self, index: int, seconds: float) -> dict[str, object]:
        """Send one request for the first time and learn what its answer usually is."""
        request = self._requests[index]
        began = time.monotonic()
        request.patience = seconds
        try:
            answer = exchange(request, keep=True, deadline=began + seconds, trial=True)
        except Missing as missing:
            return {"missing": missing.kind, "words": missing.words}
        took = time.monotonic() - began
        request.answered = True
        request.usual_status = answer.status
        request.patience = max(ANSWER_SECONDS, 4 * took)
        if answer.keeps and not request.endless and took < QUICK_SECONDS:
            self._fill(request)
        return {"status": answer.status, "server": answer.server, "endless": request.endless}

    def _fill(self, request: Request) -> None:
        """Open all connections that are to be kept now, so that none is a step after the first floor."""
        for _ in range(self._concurrency - 1):
            try:
                exchange(request, keep=True, deadline=time.monotonic() + request.patience)
            except Missing:
                return  # the server closed one: the rounds will say what is wrong

    def play(self, doses: Mapping[str, int]) -> dict[str, object]:
        """Send that many requests of each kind, interleaved, and say what came of them."""
        tally = Tally()
        cpu_before = time.process_time()
        jobs = deque(self._jobs(doses))
        threads = [
            threading.Thread(target=self._work, args=(jobs, tally), daemon=True) for _ in range(self._concurrency)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        said = {name: getattr(tally, name) for name in ("done", "failed", "seconds", "problem", "gone")}
        return {**said, "cpu_seconds": time.process_time() - cpu_before}

    def _jobs(self, doses: Mapping[str, int]) -> list[tuple[Request, int, bool]]:
        """Which request with which input over which sort of connection, each kind spread evenly over the round."""
        jobs = []
        for operation, dose in doses.items():
            requests = [one for one in self._requests if one.answered and one.operation == operation]
            for index in range(dose):
                request = requests[index % len(requests)]
                keep = not request.endless and index // len(requests) % 2 == 0
                jobs.append(((index + 0.5) / dose, request, index // len(requests), keep))
        jobs.sort(key=lambda job: job[0])
        return [(request, number, keep) for _, request, number, keep in jobs]

    def _work(self, jobs: deque[tuple[Request, int, bool]], tally: Tally) -> None:
        while not tally.gone:
            try:
                request, number, keep = jobs.popleft()
            except IndexError:
                return
            self._send(request, number, keep=keep, tally=tally)
            if tally.silent >= self._concurrency:
                with tally.lock:
                    left = len(jobs)
                    jobs.clear()
                    if left:
                        tally.problem = f"{tally.problem}, {tally.silent} times in a row: {left} requests were not sent"

    def _send(self, request: Request, number: int, *, keep: bool, tally: Tally) -> None:
        refused_until = None
        pause = 0.01
        while not tally.gone:
            began = time.monotonic()
            try:
                status = exchange(request, number, keep=keep, deadline=began + request.patience).status
            except Missing as missing:
                if missing.kind != "refused":
                    took, silent = time.monotonic() - began, missing.kind == "silent"
                    tally.count(request.operation, took, f"{request.label}: {missing.words}", silent=silent)
                    return
                refused_until = refused_until or began + REFUSED_SECONDS
                if time.monotonic() > refused_until:
                    tally.problem = f"{request.label}: {missing.words}"
                    tally.gone = True
                time.sleep(pause)
                pause *= 2
            else:
                problem = f"{request.label} was answered with status {status}" if request.is_failure(status) else None
                tally.count(request.operation, time.monotonic() - began, problem)
                return


def _written(line: Mapping[str, Any], ending: str) -> tuple[bytes, ...]:
    """Write one request out: once, or for each input if its number stands in it."""
    numbers = range(1, INPUTS + 1) if NUMBER in line["head"] or NUMBER in line["body"] else (1,)
    requests = []
    for number in numbers:
        head, body = (line[part].replace(NUMBER, str(number)) for part in ("head", "body"))
        length = f"Content-Length: {len(body.encode())}\r\n" if line["sized"] else ""
        requests.append(f"{head}{length}Connection: {ending}\r\n\r\n{body}".encode())
    return tuple(requests)


def _serve(lines: SimpleQueue[str]) -> None:
    load = Load(json.loads(lines.get()))
    while True:
        asked = json.loads(lines.get())
        reply = load.attempt(asked["try"], asked["seconds"]) if "try" in asked else load.play(asked["play"])
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Read lines until stdin ends; then leave at once, whatever is under way."""
    lines: SimpleQueue[str] = SimpleQueue()

    def serve() -> None:
        try:
            _serve(lines)
        except BaseException:  # noqa: BLE001 - not hidden: the driver reads it from stderr
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)  # the main thread waits in read(): only this ends it

    threading.Thread(target=serve, daemon=True).start()
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
