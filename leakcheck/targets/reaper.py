"""Parent of one command and of all that it starts: none of them outlives the owner, however the owner ends.

    python -I -S reaper.py --owner PID --lifeline FD --grace MS --linger MS -- COMMAND [ARGUMENT ...]

    --owner     the process that starts this one. Its death ends everything, also by SIGKILL.
    --lifeline  an inherited descriptor whose other end only the owner holds; its EOF ends everything.
                With a socket the owner is told `started PID TICKS` (TICKS: field 22 of /proc/PID/stat) once the
                command runs, and `ended CODE` (negative: by that signal). With a pipe these lines are dropped.
    --grace     from SIGTERM to the command's process group until SIGKILL to all.
    --linger    how long to leave alive what outlives the command, so that the owner can look at it; 0 kills it at once.

All four are needed. stdin, stdout, stderr and the environment are the command's. The exit code is the command's, 128+n
when signal n ended it, 127 (with a line on stderr) when it could not be executed.

Run it as a process, never import it: it needs Linux and the standard library of Python 3.9 or later, and nothing else,
so it serves whoever starts processes. `-I -S` makes it start in half the time.

Why a process of its own: only a subreaper gets back what detached itself by a double fork, and then `waitpid` saying
ECHILD is a proof that nothing is left. It is alone in its process, so PDEATHSIG, which follows the parent's *thread*,
is safe between it and the command, and forking without exec is safe too.

Does not see: processes started on the command's behalf by somebody else (systemd, dockerd). When the reaper itself is
killed by SIGKILL the command dies with it, but what had detached itself lives on.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import NoReturn

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
OOM_SCORE = 500
"""Of -1000 to 1000: when memory runs out, the command goes before its owner."""


class Reaper:
    """One command, what it started, and the owner to watch."""

    def __init__(self, owner: int, lifeline: int) -> None:
        self.lifeline = lifeline
        self.command = 0
        """Pid, once started."""
        self.code: int | None = None
        """How the command ended; None while it runs."""
        self.alone = False
        """True: nothing is left below this process."""
        os.set_inheritable(lifeline, False)
        self.woken, wakes = os.pipe()
        for end in (self.woken, wakes):
            os.set_blocking(end, False)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.set_wakeup_fd(wakes)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler of any kind makes the wake-up byte be written
        self.ending = select.poll()
        self.ending.register(self.woken, select.POLLIN)
        self.watching = select.poll()
        for watched in (self.woken, lifeline, os.pidfd_open(owner)):
            self.watching.register(watched, select.POLLIN)

    def start(self, command: list[str]) -> None:
        """Run the command, and let go of the stdio that is its alone, so that EOF passes through."""
        me = os.getpid()
        executed, failed = os.pipe()  # exec closes the second end: EOF on the first means that the command runs
        self.command = os.fork()
        if self.command == 0:
            become(command, me, failed)
        os.close(failed)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        if not os.read(executed, 1):
            with open(f"/proc/{self.command}/stat", "rb") as file:
                ticks = int(file.read().rpartition(b")")[2].split()[19])
            self.tell(f"started {self.command} {ticks}")
        os.close(executed)

    def tell(self, line: str) -> None:
        """Write to the lifeline. A pipe cannot be written to and an owner may be dead: both are fine."""
        try:
            os.write(self.lifeline, f"{line}\n".encode())
        except OSError:
            return

    def wait(self) -> None:
        """Wait for every child that has ended, the command or one that fell to us."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self.alone = True
                return
            if pid == 0:
                return
            if pid == self.command:
                self.code = os.waitstatus_to_exitcode(status)
                self.tell(f"ended {self.code}")

    def watch(self, until: Callable[[], bool], milliseconds: int | None = None) -> bool:
        """Return True when the owner is gone or has let go; False when `until` holds or the time is up."""
        deadline = None if milliseconds is None else time.monotonic() + milliseconds / 1000
        while True:
            self.wait()
            left = None if deadline is None else (deadline - time.monotonic()) * 1000
            if until() or (left is not None and left <= 0):
                return False
            if any(ready != self.woken for ready, _ in self.watching.poll(left)):
                return True
            self.calm()

    def calm(self) -> None:
        """Take the wake-up bytes off their pipe."""
        try:
            os.read(self.woken, 4096)
        except BlockingIOError:
            return

    def pause(self, milliseconds: float) -> None:
        """Wait for a child to end, at most that long."""
        self.ending.poll(milliseconds)
        self.calm()

    def ask(self, grace: int) -> None:
        """SIGTERM to the command's group; return when the group is empty or the grace is up."""
        deadline = time.monotonic() + grace / 1000
        milliseconds = 1.0
        requests: list[int] = [signal.SIGTERM, signal.SIGCONT]  # the second, since what is stopped cannot end
        while time.monotonic() < deadline:
            try:
                for number in requests:
                    os.killpg(self.command, number)
            except ProcessLookupError:
                return
            except PermissionError:  # all that is left in the group changed user
                return
            requests = [0]  # from now on only asks whether the group has members
            self.pause(min(milliseconds, max(0.0, (deadline - time.monotonic()) * 1000)))
            self.wait()
            milliseconds = min(milliseconds * 2, 50)

    def kill(self) -> None:
        """Kill what is left until nothing is. Gives up only on what the kernel does not let us kill (setuid)."""
        milliseconds = 1.0
        while True:
            self.wait()
            family = [] if self.alone else descendants(os.getpid())
            # Stopped first: a tree that forks while it is killed could otherwise outrun us.
            accepted = [send(pid, number) for number in (signal.SIGSTOP, signal.SIGKILL) for pid in family]
            if self.alone or (family and not any(accepted)):
                return
            self.pause(milliseconds)
            milliseconds = min(milliseconds * 2, 500)


def send(pid: int, number: int) -> bool:
    """Signal one process; False when that is not allowed."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True


def descendants(root: int) -> list[int]:
    """All processes below `root`, parents before children."""
    found = children(root)
    for pid in found:  # grows while it is walked
        found += children(pid)
    return found


def children(pid: int) -> list[int]:
    """Processes whose parent is a thread of `pid`; none when it is gone."""
    folder = f"/proc/{pid}/task"
    try:
        threads = os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return []
    found: list[int] = []
    for thread in threads:
        try:
            with open(f"{folder}/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError):
            if os.path.exists(f"{folder}/{thread}/stat"):  # the kernel lacks CONFIG_PROC_CHILDREN
                return [one for one in map(int, filter(str.isdigit, os.listdir("/proc"))) if parent(one) == pid]
    return found


def parent(pid: int) -> int:
    """Parent of a process; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def become(command: list[str], reaper: int, failed: int) -> NoReturn:
    """In the forked child: turn into the command."""
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != reaper:  # it died before the line above
            os._exit(127)
        os.setsid()  # the terminal's Ctrl-C is for the owner, and the group can be signalled as one
        yield_memory()
        for number in (*IGNORED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores the last two
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(command[0], command, environment())  # noqa: S606 - an argument list, never a shell
    except OSError as error:
        os.write(2, f"cannot execute {command[0]!r}: {error.strerror}\n".encode(errors="backslashreplace"))
        os.write(failed, b"!")
    finally:  # whatever happened, never go on as a second reaper
        os._exit(127)


def environment() -> dict[bytes, bytes]:
    """What we were started with. `os.environ` is not: in the C locale Python adds LC_CTYPE to it (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0") if entry)
    return {name: value for name, equals, value in pairs if equals}


def yield_memory() -> None:
    """Make the command the first to go when memory runs out. A host that forbids it is no reason not to start."""
    try:
        with open("/proc/self/oom_score_adj", "r+b", buffering=0) as file:
            score = max(OOM_SCORE, int(file.read()))
            file.seek(0)
            file.write(b"%d" % score)
    except OSError:
        return


def prctl(option: int, value: int) -> None:
    """Set a property of this process. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value}) failed; is this Linux?")


def arguments(argv: list[str]) -> tuple[int, int, int, int, list[str]]:
    """Owner, lifeline, grace, linger, command."""
    names = ("--owner", "--lifeline", "--grace", "--linger")
    options, command = dict(zip(argv[0:8:2], argv[1:8:2])), argv[9:]  # noqa: B905 - `strict` came with 3.10
    if argv[8:9] != ["--"] or not command or set(options) != set(names):
        raise SystemExit("usage: reaper.py --owner PID --lifeline FD --grace MS --linger MS -- COMMAND [ARGUMENT ...]")
    owner, lifeline, grace, linger = (int(options[name]) for name in names)
    return owner, lifeline, grace, linger, command


def main() -> int:
    """Start the command, watch it and its owner, and end with nothing left."""
    owner, lifeline, grace, linger, command = arguments(sys.argv[1:])
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    if os.getpgrp() != os.getpid():
        os.setsid()  # `timeout --signal KILL` and CI runners kill the owner's whole group: not us, we have work to do
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    reaper = Reaper(owner, lifeline)
    if os.getppid() != owner:  # it died before its pidfd was opened: the descriptor watches nobody or a stranger
        raise SystemExit(f"--owner {owner} must be the parent of this process, which is {os.getppid()}")
    reaper.start(command)
    if reaper.watch(lambda: reaper.code is not None):
        reaper.ask(grace)
    elif linger:
        reaper.watch(lambda: reaper.alone, linger)
    reaper.kill()
    code = -signal.SIGKILL if reaper.code is None else reaper.code
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
