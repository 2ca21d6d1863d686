"""Listens for questions inside a Python target, in one thread that the program never sees the work of.

Loaded by `inject/sitecustomize.py` in every Python process of a target, so what stands here is paid by every
short-lived child: nothing is imported that an interpreter has not at hand, and the rest comes with the first question.
Python 3.8 syntax. Nothing here raises into the program or prints.
One connection to `<folder>/<pid>.sock` is one line of JSON in and one out. Only its own user and root are answered.

Does not see: the program while a call in C holds the interpreter's lock. Between looking whether the listening
descriptor is still its own and waiting on it lie some microseconds in which a program could close and reuse the number.
"""

# ruff: noqa: PTH101, PTH108, PTH110 - pathlib takes longer to import than all the rest
import _signal  # type: ignore[import-not-found]  # typeshed has only `signal`, which imports enum
import _socket
import _thread
import atexit
import fcntl
import os
import sys
import time

TYPE_CHECKING = False  # as in typing, which is slow to import
if TYPE_CHECKING:
    from types import FrameType

    from . import counting

# Held from the start: gevent and the like replace these in their modules, and the agent needs the real ones.
_start_thread, _lock = _thread.start_new_thread, _thread.allocate_lock
ident, _native_id = _thread.get_ident, _thread.get_native_id
_sleep, _now = time.sleep, time.monotonic

PATIENCE = 1.0
"""Seconds that a fork, or the program's end, waits for an answer under way."""
SILENCE = 5.0
"""Seconds after which a peer that does not write, or does not read, is let go."""
LINE = 4096
"""Bytes of a question."""
HIGH = 200
"""The listening descriptor goes to this number or above, so that the program's own keep theirs."""
FULL = (12, 23, 24, 103, 105)
"""ENOMEM, ENFILE, EMFILE, ECONNABORTED, ENOBUFS: accept may work again later. `errno` may not be loaded yet."""


class Listener:
    """One listening socket with the thread that waits on it. Used once: after `stop` there is a new one."""

    def __init__(self, agent: "Agent") -> None:
        """Bind, listen and start the thread. Raises OSError where the folder is gone or nothing can be opened."""
        self.agent = agent
        self.pid = os.getpid()
        self.path = f"{agent.folder}/{self.pid}.sock"
        self.ending = False
        self.ident = self.native = 0
        self.socket = self._bound()
        self.number = self.socket.fileno()
        self.identity = _identity(self.number)
        self.alive = True
        # All signals are blocked in the thread: one that the program waits for in sigwait must not end up here.
        old = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        try:
            _start_thread(self._serve, ())
        except RuntimeError:  # no more threads
            self.alive = False
            self.let_go()
            raise
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, old)

    def _bound(self) -> _socket.socket:
        """Return a listening socket with a high number."""
        first = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            os.fchmod(first.fileno(), 0o600)  # bind makes the file with these rights, less the umask
            if os.path.lexists(self.path):  # of an earlier process with this pid
                os.unlink(self.path)
            first.bind(self.path)
            os.chmod(self.path, 0o600)
            first.listen(8)
            number = _moved(first.fileno())
            if number == first.fileno():
                first.detach()
        finally:
            first.close()
        moved = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, number)
        moved.settimeout(None)  # whatever the program's default is
        return moved

    def holds(self) -> bool:
        """Whether the number is still the listening socket's."""
        return _is(self.number, self.identity)

    def _serve(self) -> None:
        """Answer until told to end, or until the program has taken the descriptor away."""
        try:
            self.ident, self.native = ident(), _native_id()
            while not self.ending and self.holds():
                try:
                    number, _ = self.socket._accept()  # type: ignore[attr-defined]  # noqa: SLF001 - in no stub
                except OSError as error:
                    if error.errno not in FULL:
                        return
                    _sleep(0.05)
                else:
                    self.agent.talk(number)
                    if self.agent.leaving:
                        self.let_go()
                        self.remove()
                        return
        except Exception:  # noqa: BLE001 - a thread that fails would print: the asker sees that nobody answers
            return
        finally:
            self.alive = False

    def stop(self) -> None:
        """Wake the thread, wait until the kernel has no such thread either (PATIENCE at most), close the socket."""
        self.ending = True
        if self.holds():
            try:
                self.socket.shutdown(_socket.SHUT_RDWR)
            except OSError:  # closed a moment ago
                self.ending = True
        deadline = _now() + PATIENCE
        while _now() < deadline and (self.alive or os.path.exists(f"/proc/self/task/{self.native}")):
            _sleep(0.0001)
        self.let_go()

    def let_go(self) -> None:
        """Close the socket."""
        _close(self.socket, self.number, self.identity)

    def remove(self) -> None:
        """Remove the socket's file where it is this process's."""
        if self.pid == os.getpid():
            try:
                os.unlink(self.path)
            except OSError:  # the folder may be gone already
                return


class Agent:
    """What this process is asked through; lives as long as the process, across forks."""

    def __init__(self, folder: str, blocks: int) -> None:
        self.folder = folder
        self.blocks = blocks
        """Blocks of memory that the agent itself has taken, as far as it was measured."""
        self.listener: Listener | None = None
        self.fork = _lock()
        """Held during a fork: the next thread that forks waits until the agent is back from the first."""
        self.objects = 0
        """Objects tracked by the collector that came with the first question, likewise."""
        self.turn = _lock()
        self.questions: counting.Questions | None = None
        self.leaving = False
        """Asked to end, by who brought it into a running process. It comes back with `move`."""

    def listen(self) -> None:
        """Start listening. Where that fails there is no agent, and whoever asks sees that."""
        try:
            self.listener = Listener(self)
        except (OSError, RuntimeError):
            self.listener = None

    def move(self, folder: str) -> None:
        """Listen in another folder, as if nothing had been asked before."""
        self.end()
        self.folder, self.questions, self.leaving = folder, None, False
        self.listen()

    def before_fork(self) -> None:
        """Have no thread while the process forks: Python 3.12 warns of it, and a lock it holds stays held below."""
        self.fork.acquire(timeout=PATIENCE)  # not for ever: a signal's handler may fork in the middle of this
        listener = self.listener
        if listener is not None and listener.ident != ident():
            listener.stop()

    def after_fork_here(self) -> None:
        """Go on in the process that forked."""
        listener = self.listener
        if listener is not None and listener.ending and not self.leaving:
            self.listen()
        if self.fork.locked():
            self.fork.release()

    def after_fork_below(self) -> None:
        """Begin anew in the child, with its own socket; not in one that is about to become another program."""
        listener, self.listener = self.listener, None
        self.fork, self.turn, self.questions = _lock(), _lock(), None
        if listener is not None:
            listener.let_go()
            if not self.leaving and not _about_to_execute(sys._getframe()):  # noqa: SLF001
                self.listen()

    def end(self) -> None:
        """Leave nothing behind when the interpreter ends."""
        listener, self.listener = self.listener, None
        if listener is not None:
            listener.stop()
            listener.remove()

    def talk(self, number: int) -> None:
        """Have one conversation on a descriptor, and close it. A peer that breaks off is not told of again."""
        identity = _identity(number)
        try:
            peer = _socket.socket(fileno=number)
        except BaseException:
            os.close(number)
            raise
        try:
            peer.settimeout(SILENCE)
            credentials = peer.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)  # pid, uid, gid
            if int.from_bytes(credentials[4:8], sys.byteorder) in (0, os.geteuid()):
                answer = self.answer(_line(peer))
                if _is(number, identity):
                    peer.sendall(answer)
        except OSError:
            return
        finally:
            _close(peer, number, identity)

    def answer(self, line: bytes) -> bytes:
        """Return one line of JSON to one of a question; what goes wrong stands in its `problem`."""
        if not self.turn.acquire(False):
            return b'{"v": 1, "problem": "another question is being answered"}\n'
        try:
            import gc  # noqa: PLC0415 - all this with the first question, not in every short-lived child
            import json  # noqa: PLC0415

            if self.questions is None:
                blocks, objects = sys.getallocatedblocks(), len(gc.get_objects())
                from . import counting  # noqa: PLC0415

                self.questions = counting.Questions(self)
                self.objects += max(0, len(gc.get_objects()) - objects)
                self.blocks += max(0, sys.getallocatedblocks() - blocks)
            return json.dumps(self.questions.answer(line)).encode() + b"\n"
        except Exception as error:  # noqa: BLE001 - told to the asker, never to the program
            text = "".join(c if c.isalnum() or c in " .:_()" else "?" for c in f"{type(error).__name__}: {error}")
            return b'{"v": 1, "problem": "%s"}\n' % text.encode("ascii", "replace")
        finally:
            self.turn.release()


_agent: "Agent | None" = None


def _identity(number: int) -> "tuple[int, int]":
    status = os.fstat(number)
    return status.st_dev, status.st_ino


def _is(number: int, identity: "tuple[int, int]") -> bool:
    """Whether a number is still what it was: a program may close all descriptors there are, and reuse theirs."""
    try:
        return _identity(number) == identity
    except OSError:
        return False


def _close(held: _socket.socket, number: int, identity: "tuple[int, int]") -> None:
    """Close a socket, unless its number is somebody else's by now."""
    if _is(number, identity):
        held.close()
    else:
        held.detach()


def _moved(number: int) -> int:
    """Return a duplicate as high as the limit allows; the number itself where nothing above is free."""
    highest = os.sysconf("SC_OPEN_MAX") - 1  # the soft limit of now
    lowest = min(HIGH, highest) if highest > 0 else HIGH
    while lowest > number:
        try:
            return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, lowest)
        except OSError:  # taken up to the limit
            lowest -= 8
    return number


def _line(peer: _socket.socket) -> bytes:
    """Read until the end of a line, at most one byte more than a question may have."""
    read = b""
    while b"\n" not in read and len(read) <= LINE:
        part = peer.recv(LINE + 1 - len(read))
        if not part:
            break
        read += part
    return read


def _about_to_execute(frame: "FrameType | None") -> bool:
    """Tell a child that `subprocess`, or gevent's, forked only to run another program in it."""
    for _ in range(7):
        if frame is None:
            return False
        if frame.f_code.co_name == "_execute_child":
            return True
        frame = frame.f_back
    return False


def start(folder: str, blocks: int) -> None:
    """Listen in `folder` as long as this process lives; `blocks` were allocated before this file was loaded.

    An agent that an earlier audit left in a running process moves there.
    """
    global _agent  # noqa: PLW0603 - one for each process
    if _agent is not None:
        _agent.move(folder)
        return
    agent = _agent = Agent(folder, 0)
    agent.listen()
    os.register_at_fork(
        before=agent.before_fork,
        after_in_parent=agent.after_fork_here,
        after_in_child=agent.after_fork_below,
    )
    atexit.register(agent.end)
    agent.blocks = sys.getallocatedblocks() - blocks
