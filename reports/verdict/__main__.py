"""The bench of verdicts: programs with known answers, audited as a user would, and what the rules make of them.

    python -P reports/verdict draw                               a half for each mechanism that has none, once
    python -P reports/verdict run reports/DATE-verdict report    audit what is left of a half's programs; resumable
    python -P reports/verdict report reports/DATE-verdict        figures and tables of what was audited
    python -P reports/verdict power reports/DATE-verdict         the smallest leak found against operations
    python -P reports/verdict score FILE.py [SERIES…]            anybody's rule on all recorded series

README.md beside this file says what is kept, and what a mechanism and a rule must be.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import draw
import power
import report
import run
import scoring
from draw import BenchError

_COMMIT = re.compile(r"[0-9a-f]{12,40}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0: done, 1: it could not be, 2: wrong usage, 130: interrupted."""
    wanted = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        wanted.command(wanted)
    except BenchError as error:
        print(f"verdict: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nverdict: interrupted; what was done is kept, the same command goes on", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="verdict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("draw", help="draw a half for each mechanism that has none")
    one.set_defaults(command=_draw)
    one = commands.add_parser("run", help="audit what is left of a half's programs")
    one.add_argument("folder", type=Path)
    one.add_argument("half", choices=draw.HALVES)
    one.add_argument("--healthy", type=_count, default=draw.HEALTHY)
    one.add_argument("--leaking", type=_count, default=draw.LEAKING)
    one.add_argument("--commit", type=_commit, help="draw the programs from this hash, not from HEAD's")
    one.add_argument("--budget", default=run.BUDGET)
    one.add_argument("--mechanisms", type=Path, default=draw.MECHANISMS, help="another folder of mechanisms")
    one.set_defaults(command=_run)
    one = commands.add_parser("report", help="figures and tables of what was audited")
    one.add_argument("folder", type=Path)
    one.set_defaults(command=lambda wanted: report.write(wanted.folder))
    one = commands.add_parser("power", help="the smallest leak found against operations")
    one.add_argument("folder", type=Path)
    one.set_defaults(command=lambda wanted: power.write(wanted.folder))
    one = commands.add_parser("score", help="a rule on all recorded series, or on these")
    one.add_argument("file", type=Path)
    one.add_argument("series", type=Path, nargs="*")
    one.set_defaults(command=lambda wanted: scoring.score_and_print(wanted.file, wanted.series))
    return parser


def _draw(_: argparse.Namespace) -> None:
    halves = draw.write_split(draw.mechanisms())
    print("\n".join(f"{half}: {len(names)} mechanisms" for half, names in halves.items()))


def _run(wanted: argparse.Namespace) -> None:
    known = draw.mechanisms(wanted.mechanisms)
    halves = draw.read_split(known, wanted.mechanisms.with_name("split.json"))
    commit = wanted.commit or _head()
    programs = draw.programs(wanted.half, commit, known, halves, (wanted.healthy, wanted.leaking))
    bench = run.Bench(folder=wanted.folder, half=wanted.half, commit=commit, budget=wanted.budget)
    run.run(bench, programs, known)


def _head() -> str:
    asked = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=draw.HERE)
    if asked.returncode:
        raise BenchError(f"git names no commit ({asked.stderr.strip()}): give one with --commit")
    return asked.stdout.strip()


def _commit(text: str) -> str:
    if not _COMMIT.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no commit; give its 12 to 40 hexadecimal digits")
    return text


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of programs")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
