"""Speaks with Node's inspector: opens it, asks, and lets go of a program that wants to end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import queue
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import websocket

from leakcheck.probes._look import ProcessLook

_ANSWER_SECONDS = 10.0
"""For one answer: a collection of a large heap takes seconds, and so may the program's own work before it."""
_OPENING_SECONDS = 3.0
_FIRST_PAUSE = 0.002
_USUAL_PORT = 9229
NAMES = {"node", "nodejs"}
"""What the program file of Node is called."""
_MOST_BYTES = 1 << 16
_SWITCH = re.compile(r"^--inspect(?:[-_](?:brk|wait))?(?:=(?:.*:)?(\d+))?$")
_TAKES_ANOTHER = {"-r", "--require", "--import", "--loader", "--experimental-loader", "-C", "--conditions"}
_LISTENS = "0A"
_REACHABLE = {f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}" for address in ("127.0.0.1", "0")}
"""Addresses as the kernel prints them: one 32-bit word in host order."""


class InspectorError(Exception):
    """The inspector could not be opened, went away, or did not answer; the text says why."""


class NotYetError(InspectorError):
    """It cannot be opened now; a process that is just starting may be asked again."""


class Inspector:
    """One conversation with one process, for as long as the audit lasts. Not for use by two threads at once.

    Node waits at its end until whoever is attached lets go. A thread therefore listens all the time, and hangs up as
    soon as the program says that it wants to end. Source of the protocol: the Chrome DevTools Protocol, domains
    Runtime and HeapProfiler, and Node's own NodeRuntime.
    """

    def __init__(self, url: str) -> None:
        """Attach. Raises InspectorError."""
        self._answers: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._asked = 0
        try:
            self._socket = websocket.create_connection(
                url, timeout=_OPENING_SECONDS, suppress_origin=True, http_no_proxy=["*"], enable_multithread=True
            )
        except (OSError, websocket.WebSocketException) as error:
            raise InspectorError(f"the inspector took no connection: {error}") from error
        self._socket.settimeout(None)
        self._listener = threading.Thread(target=self._listen, name="leakcheck-inspector", daemon=True)
        self._listener.start()
        try:
            self.call("NodeRuntime.notifyWhenWaitingForDisconnect", enabled=True)
        except InspectorError:
            self.close()
            raise

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask, and wait for the answer. Raises InspectorError."""
        self._asked += 1
        try:
            self._socket.send(json.dumps({"id": self._asked, "method": method, "params": params}))
        except (OSError, websocket.WebSocketException) as error:
            raise InspectorError("the process closed the inspector") from error
        answer = self._await(time.monotonic() + _ANSWER_SECONDS)
        if "error" in answer:
            raise InspectorError(f"{method}: {answer['error'].get('message')}")
        result: dict[str, Any] = answer["result"]
        if "exceptionDetails" in result:
            raise InspectorError(f"{method}: {result['exceptionDetails'].get('text')}")
        return result

    def evaluate(self, expression: str) -> Any:
        """Evaluate in the program's global scope; the value comes back as JSON. Raises InspectorError."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def close(self) -> None:
        """Detach and wait until the socket is closed. May be called more than once."""
        if (connected := self._socket.sock) is not None:
            with contextlib.suppress(OSError):  # the listener, or the process, was faster
                connected.shutdown(socket.SHUT_RDWR)
        self._listener.join()

    def _await(self, until: float) -> dict[str, Any]:
        while True:
            try:
                answer = self._answers.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise InspectorError(f"the process gave no answer within {_ANSWER_SECONDS:.0f} s") from None
            if answer is None:
                raise InspectorError("the process closed the inspector")
            if answer["id"] == self._asked:
                return answer

    def _listen(self) -> None:
        try:
            while text := self._socket.recv():
                message = json.loads(text)
                if "id" in message:
                    self._answers.put(message)
                elif message.get("method") == "NodeRuntime.waitingForDisconnect":
                    break
        except (OSError, ValueError, websocket.WebSocketException):
            pass  # the connection ended: whoever asks next is told
        finally:
            self._answers.put(None)
            self._socket.shutdown()  # type: ignore[no-untyped-call]  # websocket-client annotates some of its methods


def environment(existing: Mapping[str, str]) -> dict[str, str]:
    """Return `existing` with NODE_OPTIONS that let every Node process open its inspector on a port of its own.

    Nothing is opened by that. An inspector's port that is there already is left as it is. Written with `_`, an alias
    that Node 16 to 24 take: `--inspect-port=0` would be seen by Node's cluster module, which then gives its workers
    port 1, and they refuse to start.
    """
    options = existing.get("NODE_OPTIONS", "")
    if re.search(r"--(?:inspect|debug)(?![-_]publish)", options):
        return dict(existing)
    return {**existing, "NODE_OPTIONS": f"{options} --debug_port=0".strip()}


def attach(look: ProcessLook, before: list[int] | None = None) -> Inspector:
    """Open the inspector of a Node process, with SIGUSR1 unless its command line says that it is open, and attach.

    `before`: where it listened before any process of its family was signalled, for the primary of a cluster hands the
    signal on to its workers. The caller has made sure that it is Node, and asks once: where the program handles
    SIGUSR1 itself, that handler runs. Raises InspectorError, NotYetError where asking again may help.
    """
    pid = look.pid
    if os.stat(f"/proc/{pid}/ns/net").st_ino != os.stat("/proc/self/ns/net").st_ino:
        raise InspectorError("the process has a network namespace of its own")
    before = listening(pid) if before is None else before
    declared = _declared(pid)
    if declared is not None:
        found = _inspector_among([port for port in before if declared in (0, port)][:1])
    else:
        if not _can_be_signalled(ProcessLook(pid)):
            raise NotYetError("the process does not (yet) catch SIGUSR1, which opens Node's inspector")
        os.kill(pid, signal.SIGUSR1)
        found = _within(_OPENING_SECONDS, lambda: _inspector_among(listening(pid), before))
        found = found or _inspector_among([port for port in before if port == _USUAL_PORT or _below_node(look)])
    if found is None:
        raise InspectorError(
            "Node's inspector did not open: the program may handle SIGUSR1 itself or forbid the inspector, "
            f"port {_USUAL_PORT} may be taken, or its event loop may be held up"
        )
    inspector = Inspector(found)
    try:
        _check_pid(inspector, look)
    except InspectorError:
        inspector.close()
        raise
    return inspector


def _can_be_signalled(look: ProcessLook) -> bool:
    """Whether it has a handler for SIGUSR1 and the thread that Node's handler wakes: else the signal ends it.

    What was just forked has its parent's handlers and one thread, and loses the former before it runs a program.
    """
    return int(look.status["Threads"]) > 1 and bool(int(look.status["SigCgt"], 16) >> (signal.SIGUSR1 - 1) & 1)


def _below_node(look: ProcessLook) -> bool:
    """Whether its parent is Node as well: a cluster's primary may have opened it before we knew of it."""
    try:
        return os.path.basename(os.readlink(f"/proc/{look.status['PPid']}/exe")) in NAMES
    except (FileNotFoundError, PermissionError):
        return False


def _check_pid(inspector: Inspector, look: ProcessLook) -> None:
    """Whoever answers must be that process, under the pid it has in its own namespace."""
    own = look.status.get("NSpid", str(look.pid)).split()[-1]
    if (answered := inspector.evaluate("process.pid")) != int(own):
        raise InspectorError(f"the inspector of process {answered} answered in place of {own}")


def _declared(pid: int) -> int | None:
    """The port that its switches or NODE_OPTIONS opened the inspector on; 0: any; None: they opened none."""
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().decode(errors="replace").split("\0")[1:]
    with open(f"/proc/{pid}/environ", "rb") as file:
        variables = file.read().decode(errors="replace").split("\0")
    options = [one.partition("=")[2].split() for one in variables if one.startswith("NODE_OPTIONS=")]
    switches, skip = [word for words in options for word in words], False
    for word in words:
        if not (skip or word.startswith("-")):
            break
        switches += [] if skip else [word]
        skip = word in _TAKES_ANOTHER and not skip
    opened = [match for word in switches if (match := _SWITCH.match(word))]
    if not opened:
        return None
    ports = [match[1] for match in opened if match[1]]
    ports += [word.partition("=")[2] for word in switches if re.match(r"--(?:inspect|debug)[-_]port=\d+$", word)]
    return int(ports[-1]) if ports else _USUAL_PORT


def listening(pid: int) -> list[int]:
    """Local TCP ports that the process listens on, by descriptor: the inspector's comes before the program's own."""
    ports: dict[str, int] = {}
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as file:
        next(file)
        for line in file:
            fields = line.split()
            if fields[3] != _LISTENS:
                break  # the kernel prints those that listen first; thousands of others may follow
            address, _, port = fields[1].partition(":")
            if address in _REACHABLE:
                ports[f"socket:[{fields[9]}]"] = int(port, 16)
    return [ports[target] for _, target in sorted(ProcessLook(pid).links.items()) if target in ports]


def _inspector_among(ports: list[int], known: list[int] | None = None) -> str | None:
    """Address of the inspector that listens on one of `ports` but `known`; None when there is none."""
    for port in ports:
        if port not in (known or ()) and (url := _asked(port)):
            return url
    return None


def _asked(port: int) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_OPENING_SECONDS)
    try:
        connection.request("GET", "/json/list")
        listed = json.loads(connection.getresponse().read(_MOST_BYTES))
        return f"ws://127.0.0.1:{port}/{listed[0]['id']}" if listed[0]["type"] == "node" else None
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return None  # something else listens there
    finally:
        connection.close()


def _within(seconds: float, find: Callable[[], str | None]) -> str | None:
    until, pause = time.monotonic() + seconds, _FIRST_PAUSE
    while (found := find()) is None and time.monotonic() < until:
        time.sleep(pause)
        pause *= 2
    return found
