"""Sets rlimits on itself and becomes a command: `python -I -S limited.py NAME=NUMBER ... -- COMMAND [ARGUMENT ...]`.

NAME is one of resource.RLIMIT_*. Run it as a process: limits set from outside, after the start, would come too late
for a command that is quick.
"""

import os
import resource
import signal
import sys


def main() -> None:
    """Does not return unless the command cannot be executed."""
    at = sys.argv.index("--")
    for limit in sys.argv[1:at]:
        name, _, number = limit.partition("=")
        kind, most = getattr(resource, name), int(number)
        _, ceiling = resource.getrlimit(kind)
        if ceiling != resource.RLIM_INFINITY:
            most = min(most, ceiling)
        grace = 1 if kind == resource.RLIMIT_CPU and most != ceiling else 0  # SIGXCPU says why; SIGKILL would not
        resource.setrlimit(kind, (most, most + grace))
    for number_of in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec would hand that on
        signal.signal(number_of, signal.SIG_DFL)
    command = sys.argv[at + 1 :]
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123 -- os.environ may have got an LC_CTYPE (PEP 538)
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0") if entry)
    try:
        os.execvpe(command[0], command, {name: value for name, equals, value in pairs if equals})  # noqa: S606 -- no shell
    except OSError as error:
        sys.stderr.write(f"cannot execute {command[0]!r}: {error.strerror}\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
