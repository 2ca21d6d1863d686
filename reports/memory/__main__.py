"""The bench of memories: the reference server's store beside what one would use instead, on the same vectors and core.

    python -P reports/memory run reports/DATE-memory           every engine, set and size that is left; resumable
    python -P reports/memory run reports/DATE-memory mimo      of one engine
    python -P reports/memory real reports/DATE-memory          whether made vectors are kinder than real ones
    python -P reports/memory report reports/DATE-memory        figures.json and memory.md

Each engine has a process of its own, on one core, and at most 15 minutes to add and 16 GiB of anonymous memory; what it
reached is its row. README.md says what is measured and how.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import playing
import report
from engines import names


def main() -> int:
    """0: done; 1: an engine could not be measured, which its row says; 130: interrupted, and what is done is kept."""
    parser = argparse.ArgumentParser(
        prog="memory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    run = commands.add_parser("run", help="measure what is left")
    run.add_argument("folder", type=Path)
    run.add_argument("engines", nargs="*", metavar="ENGINE", help=f"one of {', '.join(names())} (default: all)")
    run.add_argument(
        "--vectors", type=Path, default=Path(".vectors"), help="where the sets are kept: 6 GB at a million"
    )
    run.add_argument("--most", type=int, default=1_000_000, metavar="N", help="leave out larger sets")
    for name, words in (("real", "embed ten thousand texts, and compare"), ("report", "figures and tables")):
        commands.add_parser(name, help=words).add_argument("folder", type=Path)
    wanted = parser.parse_args()
    if wanted.command == "real":
        import real  # noqa: PLC0415 -- needs a model that the others do not

        real.compare(wanted.folder)
        return 0
    if wanted.command == "report":
        report.write(wanted.folder)
        return 0
    if unknown := sorted({*wanted.engines} - {*names()}):
        parser.error(f"there is no engine {unknown[0]}; there are {', '.join(names())}")
    try:
        return playing.play(wanted.folder, wanted.engines or names(), wanted.vectors, wanted.most)
    except KeyboardInterrupt:
        sys.stderr.write("memory: interrupted; what was done is kept, the same command goes on\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
