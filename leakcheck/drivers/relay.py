"""Stands between leakcheck and one copy of a server, so that it can be killed as a client is killed.

Run as a process, `python -I -S relay.py COMMAND...`, and never imported: it starts COMMAND with pipes and copies
bytes both ways. When it gets SIGKILL, the server sees what it sees when its client dies: the end of its stdin, and a
broken pipe where it writes. Its own death before that is the server's: it exits as COMMAND did.
"""

import os
import signal
import sys
import threading

_CHUNK = 1 << 16
"""Bytes: a pipe's capacity, so that what was written at once is passed on at once."""


def copy(source: int, sink: int) -> None:
    """Copy until either end is closed, then close both."""
    try:
        while chunk := os.read(source, _CHUNK):
            view = memoryview(chunk)
            while view:
                view = view[os.write(sink, view) :]
    except BrokenPipeError:
        pass
    finally:
        os.close(source)
        os.close(sink)


def main(command: list[str]) -> int:
    """Start `command`, copy until it has closed its stdout, and return its exit code as a shell would."""
    theirs_in, ours_in = os.pipe()
    ours_out, theirs_out = os.pipe()
    try:
        child = os.posix_spawnp(
            command[0],
            command,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, theirs_in, 0), (os.POSIX_SPAWN_DUP2, theirs_out, 1)],
            # Python ignores these two, and an ignored signal stays ignored in the child.
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
        )
    except OSError as error:
        sys.stderr.write(f"relay: {command[0]!r} cannot be started: {error.strerror}\n")
        return 127
    os.close(theirs_in)
    os.close(theirs_out)
    threading.Thread(target=copy, args=(0, ours_in), daemon=True).start()
    copy(ours_out, 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    # The copying thread may still wait for its client, and nobody else needs this process.
    os._exit(main(sys.argv[1:]))
