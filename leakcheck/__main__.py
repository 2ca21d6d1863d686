"""The commands `leakcheck` and `python -m leakcheck`: what must be settled before anything else is imported."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
import traceback
from typing import NoReturn


def main() -> None:
    """Run the command line. Exits 2 on another platform than Linux, 130 when interrupted."""
    try:
        _run()
    except SystemExit as end:
        raise SystemExit(_written(end.code)) from None


def _run() -> None:
    if not sys.platform.startswith("linux"):
        sys.stderr.write(
            f"leakcheck: it reads processes through Linux's /proc, which {sys.platform} has not; run it on Linux.\n"
        )
        raise SystemExit(2)
    _open_streams()
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        # Only now: elsewhere the imports would fail, and they take half a second that Ctrl-C may fall into.
        from leakcheck import cli  # noqa: PLC0415

        cli.main()
    except KeyboardInterrupt:
        sys.stderr.write("leakcheck: interrupted.\n")
        raise SystemExit(130) from None
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None or not _may_be_full():
            _fault()
        _tell_unwritten(error)
        raise SystemExit(2) from None
    except Exception:  # noqa: BLE001 - shown whole; Python itself would exit with 1, which here means a leak
        _fault()


def _fault() -> NoReturn:
    traceback.print_exc()
    sys.stderr.write("leakcheck: this is a fault of leakcheck itself, and no verdict; please report it.\n")
    raise SystemExit(2) from None


def _may_be_full() -> bool:
    """Whether standard output goes where there may be no space: a pipe, a socket and a terminal have it always."""
    mode = os.fstat(1).st_mode
    return stat.S_ISREG(mode) or (stat.S_ISCHR(mode) and not os.isatty(1))


def _tell_unwritten(error: OSError) -> None:
    sys.stderr.write(f"leakcheck: Standard output cannot be written ({error.strerror}).\n")


def _written(code: str | int | None) -> str | int | None:
    """The exit code once all is written: 2 when standard output takes it not. A reader who left early is no error."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python tries again at its end, and would exit with 120
        if isinstance(error, BrokenPipeError):
            return code
        if code != 2:  # which has told why
            _tell_unwritten(error)
        return 2
    return code


def _open_streams() -> None:
    """Give closed standard streams (`>&-`) to /dev/null: the next file opened would get their number."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - open till the end


if __name__ == "__main__":
    main()
