"""The load of an audit as a process of its own, controlled by JSON lines on its stdin and stdout.

Its CPU time and its sockets are then not the auditor's. The first line in is the configuration (it may hold secrets,
which so stay out of argv and environment); then each line in gets one line back. It ends when its stdin does.

Does not see: what the load process does between two questions.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from leakcheck.credentials import Secrets
from leakcheck.drivers.messages import shown
from leakcheck.errors import LeakcheckError, MissingExtra

SOURCES = str(Path(__file__).resolve().parents[2])
"""The folder that holds our packages: site-packages, or a checkout."""
_OVERDUE_SECONDS = 60.0
"""So long after its time a load process that has not answered is taken to hang."""
_END_SECONDS = 4.0
"""After stdin's end: closing open sessions may take 2 s."""
_TAIL = 16 * 1024
"""Bytes kept of what it prints on stderr."""
_PASSED_ON = ("LD_LIBRARY_PATH", "SSL_CERT_DIR", "SSL_CERT_FILE")
_PACKAGES = ("HOME", "PYTHONPATH", "PYTHONUSERBASE")
"""Where Python looks for installed packages."""
_START = (
    "import runpy, sys; sys.path.insert(0, sys.argv[1]); import loadtests; del sys.path[0]; "
    "runpy.run_module('loadtests.play', run_name='__main__', alter_sys=True)"
)
"""`-P -m loadtests.play`, with our `loadtests` and no other folder of that name that stands in PYTHONPATH."""


def environment(*, packages: bool) -> dict[str, str]:
    """Return all of our environment that a load process gets: the rest may hold secrets, and /proc shows them."""
    names = (*_PASSED_ON, *(_PACKAGES if packages else ()))
    return {name: os.environ[name] for name in names if name in os.environ}


def locust_command(option: str) -> tuple[str, ...]:
    """Return the command of the Locust load process, which `option` needs. Raises MissingExtra."""
    if find_spec("locust") is None:
        raise MissingExtra(f"{option} needs Locust, which is not installed: pip install 'mimo-leakcheck[load]'")
    if PathFinder.find_spec("loadtests", [SOURCES]) is None:
        raise MissingExtra(
            f"{option} needs the package loadtests beside leakcheck, and '{SOURCES}' has none;"
            " install it anew: pip install --force-reinstall 'mimo-leakcheck[load]'"
        )
    return sys.executable, "-P", "-c", _START, SOURCES


class LoadProcess:
    """One load process, and the lines to and from it. A LeakcheckError says in words how it broke."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], secrets: Secrets) -> None:
        """Start it; the first line is still to be told."""
        self._secrets = secrets
        self._said = b""
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,  # Ctrl-C is for the auditor, who then closes stdin
        )

    @property
    def pids(self) -> tuple[int, ...]:
        """Its pid, while it runs."""
        return () if self._process.poll() is not None else (self._process.pid,)

    def told(self, text: str) -> str:
        """Text of a target or a locustfile as it may be shown: credentials hidden, on one line, cut."""
        return shown(self._secrets.hide(text), 400)

    def tell(self, message: Mapping[str, object]) -> None:
        """Send one line."""
        stdin = _made(self._process.stdin)
        try:
            stdin.write(json.dumps(message).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._broke() from None

    def ask(
        self, message: Mapping[str, object], check: Callable[[], None], seconds: float | None = None
    ) -> dict[str, Any]:
        """Send one line and return the one that comes back, a minute after `seconds` at the latest.

        `check` is called while nothing comes, and may raise.
        """
        self.tell(message)
        deadline = None if seconds is None else time.monotonic() + seconds + _OVERDUE_SECONDS
        reply = b""
        while not reply.endswith(b"\n"):
            received = self._receive(0.2)
            if received == b"":
                raise self._broke()
            reply += received or b""
            if received is None:
                check()
            if deadline is not None and time.monotonic() > deadline:
                raise LeakcheckError(
                    f"the load process hangs: no answer {_OVERDUE_SECONDS:g} s after its time ({self._last_line()});"
                    " if the load is a locustfile, look for what waits in it without an end"
                )
        return self._parsed(reply)

    def close(self) -> None:
        """End it: its connections close with it. Never raises."""
        with suppress(OSError):  # it ended before it read the last line
            _made(self._process.stdin).close()
        deadline = time.monotonic() + _END_SECONDS
        # Read on: whoever writes into a full pipe cannot end.
        while time.monotonic() < deadline and self._receive(0.1) != b"":
            pass
        self._reap(max(0.1, deadline - time.monotonic()))
        for pipe in (self._process.stdout, self._process.stderr):
            _made(pipe).close()

    def _reap(self, seconds: float) -> int:
        """Wait for its end, and end it with its children if that takes longer; return its exit code."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            return self._process.wait()

    def _receive(self, seconds: float) -> bytes | None:
        """Return what came on stdout, empty at its end, None if nothing came; keep the end of stderr meanwhile."""
        stdout, stderr = _made(self._process.stdout), _made(self._process.stderr)
        ready = select.select([stdout] if stderr.closed else [stdout, stderr], [], [], seconds)[0]
        if stderr in ready:
            said = os.read(stderr.fileno(), 65536)
            self._said = (self._said + said)[-_TAIL:]
            if not said:
                stderr.close()
        return os.read(stdout.fileno(), 65536) if stdout in ready else None

    def _parsed(self, reply: bytes) -> dict[str, Any]:
        try:
            parsed = json.loads(reply)
        except ValueError:
            parsed = None
        if not isinstance(parsed, dict):
            raise LeakcheckError(
                f"the load process answered '{self.told(reply[:200].decode(errors='replace').strip())}', which is no"
                " JSON object; run the audit again, and report it if it happens twice"
            )
        return parsed

    def _broke(self) -> LeakcheckError:
        """Return the error for a load process that ended by itself, or closed its pipes."""
        code = self._reap(2.0)
        # All that it printed is there by now. A child of it may hold the pipe open: its end is not waited for.
        stderr = _made(self._process.stderr)
        while not stderr.closed and select.select([stderr], [], [], 0)[0]:
            self._receive(0)
        return LeakcheckError(
            f"the load process ended with code {code} ({self._last_line()}); run the audit again,"
            " and report it if it happens twice"
        )

    def _last_line(self) -> str:
        lines = self._said.decode(errors="replace").strip().splitlines()
        return self.told(lines[-1]) if lines else "it printed nothing"


def _made(pipe: IO[bytes] | None) -> IO[bytes]:
    """Return a pipe that Popen was told to make."""
    if pipe is None:
        raise RuntimeError("Popen made no pipe")
    return pipe
