"""The words for a data folder, and what may stand after each; imports nothing that takes time."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word of the command."""

    usage: str
    words: str
    add: Callable[[ArgumentParser], None]


def _folder(parser: ArgumentParser) -> None:
    parser.add_argument("folder", metavar="FOLDER", help="what was a server's --data; none may run on it now")


def _looking(parser: ArgumentParser) -> None:
    _folder(parser)
    parser.add_argument("--json", action="store_true", help="as JSON")


def _exporting(parser: ArgumentParser) -> None:
    _folder(parser)
    parser.add_argument("file", metavar="FILE", nargs="?", default="-", help="a new file (default: stdout)")


def _importing(parser: ArgumentParser) -> None:
    _folder(parser)
    parser.add_argument("file", metavar="FILE", help="JSON lines, such as export writes; - for stdin")
    parser.add_argument(
        "--dimensions", type=_whole(8, 4096), default=384, metavar="N", help="of a new folder, 8 to 4096 (default: 384)"
    )
    parser.add_argument(
        "--skip", type=_whole(0, 1 << 60), default=0, metavar="N", help="leave out the first N lines: they are stored"
    )


def _whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise ValueError(text)
        return int(text)

    parse.__name__ = f"number from {least} to {most}"  # argparse: invalid ... value
    return parse


WORDS = {
    "fsck": Word(
        usage="FOLDER [--json]",
        words="Verify a data folder and change nothing. Exit code 0: sound; 1: something is lost; 3: the next start "
        "repairs it.",
        add=_looking,
    ),
    "stats": Word(usage="FOLDER [--json]", words="Count what a data folder holds.", add=_looking),
    "export": Word(usage="FOLDER [FILE]", words="Write the memories of a data folder as JSON lines.", add=_exporting),
    "import": Word(
        usage="FOLDER FILE [--dimensions N] [--skip N]",
        words="Store memories from JSON lines, under new ids; what has no embedding gets one.",
        add=_importing,
    ),
}
