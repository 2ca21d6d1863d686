"""Brings the agent into Python processes that run already, by `sys.remote_exec` (PEP 768), and takes it out again.

A process is handed the path of a script, which its main thread runs the next time that it runs Python. Until then
nothing has happened; a script that was never run is taken back by handing it an empty one, for one whose file is gone
would make the target print an error.

Does not see: Python embedded in another program; a process that starts after this (`inject` can be called again: who
has an agent is left alone; what an injected process forks has its own).
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from leakcheck.credentials import Secrets
from leakcheck.errors import TargetError, UsageError
from leakcheck.targets.tree import Tree, executable

OLDEST = (3, 14)
"""The first Python that can be handed a script, and that can hand one over."""
PATIENCE_SECONDS = 5.0
"""How long all processes together have for running it."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.25
_OWN = sys.version_info[:2]
_AGENT = Path(__file__).resolve().parent.parent / "agent"
_VERSION_IN_NAME = re.compile(r"^python3\.(\d+)")
_VERSION_IN_MAPS = re.compile(r"/libpython3\.(\d+)|\.cpython-3(\d\d)-|/python3\.(\d+)/lib-dynload/")
_GONE = (FileNotFoundError, ProcessLookupError)

_SCRIPT = """\
import os, sys
failed, blocks, kept = "", sys.getallocatedblocks(), (sys.pycache_prefix, sys.dont_write_bytecode)
new = "_leakcheck_agent" not in sys.modules
try:
    if new:
        package = type(sys)("_leakcheck_agent")
        package.__path__ = [agent]
        sys.modules["_leakcheck_agent"] = package
        sys.pycache_prefix, sys.dont_write_bytecode = folder, False
    __import__("_leakcheck_agent.core", None, None, ["start"]).start(folder, blocks)
except Exception as error:
    if new:
        sys.modules.pop("_leakcheck_agent", None)
    failed = f"{type(error).__name__}: {error}"
finally:
    sys.pycache_prefix, sys.dont_write_bytecode = kept
try:
    with open(told + ".new", "w", encoding="utf-8", errors="replace") as file:
        file.write(failed)
    os.replace(told + ".new", told)
except OSError:  # whoever wanted to know has gone
    pass
"""
"""Does what `agent/inject/sitecustomize.py` does, without touching the environment: other threads may be reading it."""


def check_inside(pid: int) -> None:
    """Raise UsageError where no agent can come into any process of the tree of `pid`; TargetError where none is.

    A tree with a Node process passes: that one has a view from inside of its own. So does a Python whose version the
    name of its program and what it has loaded do not tell: `inject` learns it from the process.
    """
    members = _tree(pid)
    names = [executable(member) or "" for member in members]
    if any(name in ("node", "nodejs") for name in names):
        return
    pythons = [member for member, name in zip(members, names, strict=True) if name.startswith("python")]
    if not pythons:
        raise UsageError(
            f"--inside: neither process {pid} ({names[0] or 'unknown program'}) nor one below it runs Python or Node; "
            "leave --inside out, it is then looked at from outside"
        )
    if _OWN < OLDEST:
        raise UsageError(
            f"--inside with --pid {pid} needs leakcheck on Python {_text(OLDEST)} or later, and this is Python "
            f"{_text(_OWN)}; leave --inside out, or let leakcheck start the target: "
            "`leakcheck audit … -- COMMAND` needs no such thing"
        )
    versions = [version_of(member) for member in pythons]
    if all(version not in (None, _OWN) for version in versions):
        told = ", ".join(sorted({_text(version) for version in versions if version is not None}))
        raise UsageError(
            f"--inside: the target {pid} runs Python {told} and leakcheck {_text(_OWN)}; only the same version can be "
            f"entered while it runs: install leakcheck for Python {told}, or let leakcheck start the target"
            if all(version is not None and version >= OLDEST for version in versions)
            else f"--inside: the target {pid} runs Python {told}, which cannot be entered while it runs (Python "
            f"{_text(OLDEST)} and later can); leave --inside out, or let leakcheck start the target"
        )


def _tree(pid: int) -> tuple[int, ...]:
    try:
        members = Tree(pid, Secrets(()), skip_root=False).members()
    except _GONE:
        members = ()
    if not members:
        raise TargetError(f"There is no process {pid}; find the pid with: ps -ef")
    return tuple(member.pid for member in members)


def version_of(pid: int) -> tuple[int, int] | None:
    """Major and minor version of a Python process, by its program's name, else by the files that it has loaded.

    None where neither tells, or nothing may be read.
    """
    found = _VERSION_IN_NAME.match(executable(pid) or "")
    if found is None:
        try:
            found = _VERSION_IN_MAPS.search(Path(f"/proc/{pid}/maps").read_text(errors="replace"))
        except OSError:
            return None
    return None if found is None else (3, int(next(filter(None, found.groups()))))


def inject(root_pid: int, pids: Sequence[int], folder: Path) -> tuple[str, ...]:
    """Have an agent listen in `folder` in each Python process of a tree; return why one could not be reached, each.

    Takes PATIENCE_SECONDS at most. A process that was told to be waiting may still run the script later: the agent is
    there then. `folder` is absolute and this user's own; as root, it is given to the user that the target runs as.
    """
    problems: list[str] = []
    waiting: list[int] = []
    for pid in dict.fromkeys((root_pid, *pids)):
        if (executable(pid) or "").startswith("python") and not _socket(folder, pid).exists():
            why = _handed_over(pid, folder)
            if why is not None:
                problems.append(why)
            elif os.path.exists(f"/proc/{pid}"):
                waiting.append(pid)
    _wait(lambda: all(_socket(folder, pid).exists() or _outcome(folder, pid).exists() for pid in waiting))
    return (*problems, *filter(None, (_silent(pid, folder) for pid in waiting)))


def withdraw(pids: Sequence[int], folder: Path) -> tuple[str, ...]:
    """End the agents that listen in `folder`, take back scripts that were not run; return where that failed, each.

    To be called before the folder is removed. An agent that stays does nothing until it is asked.
    """
    problems: list[str] = []
    for pid in pids:
        if _socket(folder, pid).exists():
            why = _asked_to_leave(_socket(folder, pid))
            if why is not None and os.path.exists(f"/proc/{pid}"):
                problems.append(f"the agent stays inside process {pid}, idle, until that ends: {why}")
        elif _script(folder, pid).exists() and not _outcome(folder, pid).exists():
            why = _remote_exec(pid, os.devnull)
            if why is not None and os.path.exists(f"/proc/{pid}"):
                problems.append(f"process {pid} may print that a script of leakcheck's is missing: {why}")
    return tuple(problems)


def _handed_over(pid: int, folder: Path) -> str | None:
    """Give one process its script. Returns why that cannot be; nothing for a process that is gone."""
    try:
        version, owner = version_of(pid), os.stat(f"/proc/{pid}").st_uid
        if version is not None and version != _OWN:
            return f"no agent inside process {pid}: it runs Python {_text(version)}, and leakcheck {_text(_OWN)}"
        why = _lent(folder, owner)
        if why is None:
            script = _written(pid, folder, owner)
            if not _sees(pid, script):
                why = "it has other file systems than leakcheck (a container); run leakcheck in there"
            else:
                why = _remote_exec(pid, str(script))
    except _GONE:
        return None
    except PermissionError as error:
        why = f"{error}; run leakcheck as its user or as root"
    if why is None or not os.path.exists(f"/proc/{pid}"):
        return None
    return f"no agent inside process {pid}: {why}"


def _lent(folder: Path, owner: int) -> str | None:
    """Let that user in: the script is read, and the socket made, by the target."""
    holder = folder.stat().st_uid
    if owner in (0, holder):
        return None
    if os.geteuid() != 0 or holder != 0:
        return f"it belongs to user number {owner}, and the agents' folder to user number {holder}"
    os.chown(folder, owner, -1)
    return None


def _written(pid: int, folder: Path, owner: int) -> Path:
    """Write the script of one process, for its user alone. Never through a link: the folder may be that user's."""
    script = _script(folder, pid)
    script.unlink(missing_ok=True)
    _outcome(folder, pid).unlink(missing_ok=True)
    given = {"agent": str(_AGENT), "folder": str(folder), "told": str(_outcome(folder, pid))}
    file = os.open(script, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        # In names of its own: a script that is handed over runs in the program's `__main__`.
        os.write(file, f"exec({_SCRIPT!r}, {given!r})\n".encode())
        if owner != os.geteuid() and os.geteuid() == 0:
            os.fchown(file, owner, -1)
    finally:
        os.close(file)
    return script


def _sees(pid: int, path: Path) -> bool:
    """Whether the process finds the same file there."""
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/root{path}"), path.stat())
    except FileNotFoundError:
        os.stat(f"/proc/{pid}")
        return False


def _remote_exec(pid: int, script: str) -> str | None:
    """Hand the path over. Returns why that cannot be."""
    why = f"leakcheck runs on Python {_text(_OWN)}, and can enter a running process from {_text(OLDEST)} on"
    if sys.version_info >= (3, 14):  # OLDEST, spelled out for mypy
        try:
            sys.remote_exec(pid, script)
        except PermissionError as error:
            return f"it does not let itself be entered ({error}: ptrace is denied); run leakcheck as root"
        except (RuntimeError, OSError, ValueError) as error:
            switches = "PYTHON_DISABLE_REMOTE_DEBUG or -X disable-remote-debug"
            return f"{error} (by {switches})" if "not enabled" in str(error) else str(error)
        why = ""
    return why or None


def _silent(pid: int, folder: Path) -> str | None:
    """Say why no agent listens in a process that took its script; nothing where one does, or the process is gone."""
    if _socket(folder, pid).exists() or not os.path.exists(f"/proc/{pid}"):
        return None
    try:
        said = _outcome(folder, pid).read_text(errors="replace")
    except FileNotFoundError:
        return (
            f"no agent inside process {pid} yet: its main thread has run no Python for {PATIENCE_SECONDS:g} s (it "
            "waits in a system call, or works in C); the agent comes as soon as it does"
        )
    except PermissionError as error:
        said = str(error)
    why = said or "it could not listen (its descriptors or threads are used up, or the folder's path is too long)"
    return f"no agent inside process {pid}: {why}"


def _asked_to_leave(path: Path) -> str | None:
    """Ask the agent there to end. Returns why it did not."""
    try:
        with socket.socket(socket.AF_UNIX) as asker:
            asker.settimeout(PATIENCE_SECONDS)
            asker.connect(str(path))
            asker.sendall(b'{"ask": "leave"}\n')
            said = b""
            while (part := asker.recv(4096)) and len(said) < 1 << 16:
                said += part
        problem = json.loads(said).get("problem")
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    if problem is not None:
        return str(problem)
    return None if _wait(lambda: not path.exists()) else "it agreed to, and did not"


def _wait(done: Callable[[], bool]) -> bool:
    """Wait with doubling pauses, PATIENCE_SECONDS at most. Returns whether it is done."""
    deadline, pause = time.monotonic() + PATIENCE_SECONDS, _FIRST_PAUSE
    while not (ended := done()) and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    return ended


def _socket(folder: Path, pid: int) -> Path:
    return folder / f"{pid}.sock"


def _script(folder: Path, pid: int) -> Path:
    return folder / f"inject-{pid}.py"


def _outcome(folder: Path, pid: int) -> Path:
    """What the script of that process leaves there when it has run: nothing in it, or what went wrong."""
    return folder / f"inject-{pid}.told"


def _text(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
