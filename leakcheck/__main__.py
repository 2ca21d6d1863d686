"""The commands `leakcheck` and `python -m leakcheck`: what must be settled before anything else is imported."""

from __future__ import annotations

import os
import signal
import sys
import traceback


def main() -> None:
    """Run the command line. Exits 2 on another platform than Linux, 130 when interrupted."""
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
    except Exception:  # noqa: BLE001 - shown whole; Python itself would exit with 1, which here means a leak
        traceback.print_exc()
        sys.stderr.write("leakcheck: this is a fault of leakcheck itself, and no verdict; please report it.\n")
        raise SystemExit(2) from None


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
