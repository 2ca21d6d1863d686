"""Asks the agent inside each Python process of the target; one conversation is one line each way.

The agent (`leakcheck/agent/`) listens on a unix socket named after the process. It closes the connection before we go
on, so nothing of the conversation is left when the process is looked at from outside.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_REPLACED_SECONDS = 2.0
_LEAST_PATIENCE = 0.1
_CONNECT_SECONDS = 0.5
_ANSWER_SECONDS = 5.0
"""Patience with a process that does not give up the interpreter: a C call, such as a search by pattern, may hold it."""
_CENSUS_SHARE, _EARLY_SHARE, _EARLY = 0.05, 0.25, 6
"""Of the time, that looking for containers that grow may take: more for the first six, while doses are small and what
grows is to be known before it is judged."""
_CENSUS_SECONDS = 0.5
"""The longest one: what was not reached by then is left to the next."""
_MOST_BYTES = 8 << 20
_SIZES_SECONDS = 1.0
"""For all containers of one process together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """One container that was seen to grow."""

    name: str
    """Where it hangs: `package.module:Class.attribute`."""
    type: str
    length: int
    bound: int | None
    """What its own type says: `deque.maxlen`, `lru_cache` maxsize; None without one."""
    bound_by: str
    numbers: Mapping[str, int]
    """Integer attributes of the object that it belongs to: one of them may be the bound that its code keeps."""
    file: str | None
    containers: int
    """How many of that name are counted together: each has the bound that the code keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What the agent in one process said."""

    listener_inode: int
    """Of its own socket: not the program's."""
    thread: int
    """Its own thread, as the kernel numbers it."""
    blocks: int
    malloc: int | None
    modules: int
    objects: int
    garbage: int
    tasks: Mapping[str, int] | None
    threads: Mapping[str, int]
    types: Mapping[str, int]
    registries: tuple[Registry, ...]
    pauses: Mapping[str, float]
    """Seconds, by what was done."""


@dataclass(slots=True)
class _Known:
    """What is remembered of one process."""

    census_at: float = 0.0
    census_cost: float = 0.0
    censuses: int = 0
    silent: str | None = None
    """Why it is not asked any more."""
    failures: int = 0
    spoke: bool = False
    """Whether it ever answered."""


@dataclass(slots=True)
class Agents:
    """The agents of one audit."""

    folder: str
    is_entered: bool
    """Whether the target ran already: an agent comes into it when it next runs Python, and not before."""
    known: dict[tuple[int, int], _Known] = field(default_factory=dict)
    waited: int = 0
    """How often a process that never spoke was waited for in vain: children that close what they inherit are mute."""

    def ask(self, pid: int, started: int) -> Inside | str | None:
        """Return what the agent says; a text says why it does not answer; None: no Python process.

        Raises ProcessLookupError or FileNotFoundError once the process is gone.
        """
        if not is_python(pid):
            return None
        one = self.known.setdefault((pid, started), _Known())
        if one.silent is not None:
            return one.silent
        now = time.monotonic()
        due = now - one.census_at >= one.census_cost / (_EARLY_SHARE if one.censuses < _EARLY else _CENSUS_SHARE)
        request = {"ask": "floor", "census": _CENSUS_SECONDS if due else 0}
        try:
            patience = _REPLACED_SECONDS if one.spoke else max(_LEAST_PATIENCE, _REPLACED_SECONDS / 2**self.waited)
            answer = _answer(
                f"{self.folder}/{pid}.sock", request, patience, lambda: None if one.spoke else self._why_absent(pid)
            )
        except (OSError, ValueError) as error:
            os.stat(f"/proc/{pid}")
            one.failures += 1
            self.waited += not one.spoke
            why = f"the agent inside process {pid} does not answer ({error})"
            if one.failures >= 3:  # each costs its patience
                one.silent = why
            return why
        if isinstance(answer, str):
            one.silent = None if self.is_entered else answer
            return answer
        one.failures, one.spoke = 0, True
        if due:
            one.census_at, one.census_cost = now, _number(answer, "pauses", "census")
            one.censuses += 1
        problem = answer.get("problem")
        if problem is not None and "blocks" not in answer:
            return f"the agent inside process {pid} failed: {problem}"
        return _understood(answer)

    def _why_absent(self, pid: int) -> str | None:
        return f"no agent has come into process {pid}" if self.is_entered else _why_absent(pid)

    def sizes(self, pid: int, names: Sequence[str]) -> dict[str, float]:
        """Return bytes per entry of the named containers of one process; without those that could not be measured."""
        pympler = importlib.util.find_spec("pympler")
        lent = None if pympler is None or pympler.origin is None else str(Path(pympler.origin).parent.parent)
        request = {"ask": "sizes", "names": list(names), "lend": lent, "seconds": _SIZES_SECONDS}
        try:
            found = _converse(f"{self.folder}/{pid}.sock", request).get("sizes")
        except (OSError, ValueError):
            return {}  # it has ended, or does not answer: sizes are told where they are known
        if not isinstance(found, Mapping):
            return {}
        sizes = {str(name): _number(found, str(name), "bytes_per_entry") for name in found}
        return {name: size for name, size in sizes.items() if size > 0}


def _answer(
    path: str, request: Mapping[str, object], patience: float, why_absent: Callable[[], str | None]
) -> Mapping[str, object] | str:
    """Ask, again and again for a while where nobody listens: a fork replaces the socket, a start takes its time.

    A text of `why_absent` ends the asking: there is no agent, and that is why.
    """
    until, pause = time.monotonic() + patience, 0.005
    while True:
        try:
            return _converse(path, request)
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, EOFError) as error:
            reason = why_absent()
            if reason is not None:
                return reason
            if time.monotonic() > until:
                raise OSError(f"nobody listens: {error}") from error
            time.sleep(pause)
            pause = min(2 * pause, 0.1)


def is_python(pid: int) -> bool:
    """Whether the process runs the CPython executable. Does not see: Python embedded in another program."""
    name = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    return name.startswith("python")


def _why_absent(pid: int) -> str | None:
    """Say why there is no agent, by the command line and the environment of the process; None: there should be one."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    flags = {
        letter
        for word in words[1:4]
        if word.startswith(b"-") and not word.startswith(b"--")
        for letter in word[1:].decode(errors="replace")
    }
    for flag, meaning in (("I", "isolated"), ("E", "the environment is ignored"), ("S", "no site modules")):
        if flag in flags:
            return f"process {pid} was started with -{flag} ({meaning}), so no agent is inside it"
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except PermissionError:
        environment = [b"LEAKCHECK_AGENT="]
    if not any(one.startswith(b"LEAKCHECK_AGENT=") for one in environment):
        return f"process {pid} was started with an environment of its own, so no agent is inside it"
    return None


def _converse(path: str, request: Mapping[str, object]) -> Mapping[str, object]:
    """Send one line, read one line up to the end of the connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CONNECT_SECONDS)
        connection.connect(path)
        connection.settimeout(_ANSWER_SECONDS)
        connection.sendall(json.dumps(request).encode() + b"\n")
        received = bytearray()
        while piece := connection.recv(1 << 16):
            received += piece
            if len(received) > _MOST_BYTES:
                raise ValueError(f"its answer is longer than {_MOST_BYTES} bytes")
    if not received:
        raise EOFError("it closed the connection")
    answer = json.loads(received)
    if not isinstance(answer, dict):
        raise ValueError("its answer is no object")  # noqa: TRY004 - a broken peer, not a wrong argument
    return answer


def _number(answer: Mapping[str, object], *path: str) -> float:
    found: object = answer
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, (int, float)) else 0.0


def _understood(answer: Mapping[str, object]) -> Inside:
    tasks, malloc = answer.get("tasks"), answer.get("malloc")
    registries = answer.get("registries")
    return Inside(
        listener_inode=int(_number(answer, "own", "inode")),
        thread=int(_number(answer, "own", "thread")),
        blocks=int(_number(answer, "blocks") - _number(answer, "own", "blocks")),
        malloc=int(malloc) if isinstance(malloc, int) else None,
        modules=int(_number(answer, "modules")),
        objects=int(_number(answer, "objects")),
        garbage=int(_number(answer, "garbage")),
        tasks=_counts(tasks) if isinstance(tasks, Mapping) else None,
        threads=_counts(answer.get("threads")),
        types=_counts(answer.get("types")),
        registries=tuple(_registry(one) for one in registries if isinstance(one, Mapping))
        if isinstance(registries, list)
        else (),
        pauses={name: _number(answer, "pauses", name) for name in _counts(answer.get("pauses"))},
    )


def _counts(value: object) -> dict[str, int]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): int(count) for name, count in value.items() if isinstance(count, (int, float))}


def _registry(one: Mapping[str, object]) -> Registry:
    bound, file = one.get("bound"), one.get("file")
    return Registry(
        name=str(one.get("name")),
        type=str(one.get("type")),
        length=int(_number(one, "length")),
        bound=int(bound) if isinstance(bound, (int, float)) else None,
        bound_by=str(one.get("bound_by") or ""),
        numbers=_counts(one.get("numbers")),
        file=file if isinstance(file, str) else None,
        containers=max(1, int(_number(one, "containers"))),
    )
