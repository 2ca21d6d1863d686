"""The load of an audit: a Locust process that plays known numbers of operations. Run as `python -m loadtests.play`.

One JSON line in, one JSON line out; the first line in is the configuration and has no answer, since it may hold
secrets, which stay out of argv and environment:

    {"concurrency": 4, "mcp": {"url": "http://127.0.0.1:8080/mcp", "headers": {}}}
    {"concurrency": 4, "locustfile": {"path": "my.py", "host": null}}

    {"discover": {"seconds": 5}}   → what there is to play, or {"missing": …}, or {"broken": …}
    {"plan": {kind: [input, …]}}   → {"planned": true}     (MCP only; inputs as `operations.Input` reads them)
    {"attempt": {"kind": "call:echo", "index": 0, "seconds": 2}} → {"problem": null, "took": 0.01, "gone": false}
    {"play": {kind: dose}, "seconds": 30} → done, failed and seconds by kind, the first problem, gone, cpu_seconds

leakcheck decides what is played; this process knows how. When stdin ends it closes its sessions and ends. Only
answers go to stdout: what a locustfile prints goes to stderr.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from typing import IO, Any, Protocol

import gevent
from gevent.os import make_nonblocking, nb_read
from gevent.queue import SimpleQueue

from loadtests.mcp_load import McpLoad
from loadtests.task_load import LocustfileLoad

CLOSE_SECONDS = 2.0
"""How long closing the sessions may take at the end."""


class Load(Protocol):
    """What is played."""

    def discover(self, seconds: float) -> dict[str, Any]:
        """Say what there is to play."""

    def plan(self, kinds: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
        """Take the inputs of each kind."""

    def attempt(self, kind: str, index: int, seconds: float) -> dict[str, Any]:
        """Play one input once."""

    def play(self, doses: Mapping[str, int], seconds: float) -> dict[str, Any]:
        """Play so many of each kind."""

    def close(self) -> None:
        """Close the sessions."""


def configured(line: str) -> Load:
    """Make the load that the first line describes. Raises ValueError, with no word of what may be secret."""
    try:
        given = json.loads(line)
        concurrency = given["concurrency"]
        if type(concurrency) is not int or concurrency < 1:
            raise ValueError(f"concurrency {concurrency!r}: give a whole number from 1 on")
        if "mcp" in given:
            return McpLoad(concurrency, given["mcp"]["url"], given["mcp"].get("headers") or {})
        return LocustfileLoad(concurrency, given["locustfile"]["path"], given["locustfile"].get("host"))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the first line lacks {error}: see the head of loadtests/play.py for its form") from error


def answered(load: Load, line: str) -> dict[str, Any]:
    """Do what one line asks and return the answer."""
    asked = json.loads(line)
    if "discover" in asked:
        return load.discover(asked["discover"]["seconds"])
    if "plan" in asked:
        return load.plan(asked["plan"])
    if "attempt" in asked:
        return load.attempt(asked["attempt"]["kind"], asked["attempt"]["index"], asked["attempt"]["seconds"])
    began = time.process_time()
    told = load.play(asked["play"], asked["seconds"])
    return {**told, "cpu_seconds": time.process_time() - began}


def serve(lines: SimpleQueue[str], answers: IO[str], loads: list[Load]) -> None:
    """Answer line after line; a fault ends the process, and its traceback goes to stderr."""
    try:
        try:
            loads.append(configured(lines.get()))
        except ValueError as error:
            sys.stderr.write(f"loadtests.play: {error}\n")
            os._exit(2)
        while True:
            answers.write(json.dumps(answered(loads[0], lines.get())) + "\n")
            answers.flush()
    except Exception:  # noqa: BLE001 - not hidden: the driver reads it from stderr
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def main() -> None:
    """Read lines until stdin ends, also while a play is under way; then close the sessions and end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the auditor decides what it means
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a locustfile prints must not break the protocol
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # and is not lost where the process ends at once
    make_nonblocking(0)
    lines: SimpleQueue[str] = SimpleQueue()
    loads: list[Load] = []
    serving = gevent.spawn(serve, lines, answers, loads)
    unfinished = b""
    while chunk := nb_read(0, 1 << 16):
        *whole, unfinished = (unfinished + chunk).split(b"\n")
        for line in whole:
            lines.put(line.decode())
    serving.kill()
    with gevent.Timeout(CLOSE_SECONDS, exception=False):
        for load in loads:
            load.close()
    sys.stderr.flush()
    os._exit(0)  # a locustfile's threads must not keep it alive


if __name__ == "__main__":
    main()
