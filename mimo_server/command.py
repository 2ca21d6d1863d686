"""What the command `mimo-server` says: its help, the settings, the defects."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from mimo_server.defects import PROFILES, defects
from mimo_server.kinds import quoted
from mimo_server.options import Chosen, add_options, nearest
from mimo_server.settings import Row, rows
from mimo_server.upkeep.words import WORDS

_INDENT = "\n" + " " * 14
_NAME = "mimo-server"
_LISTINGS = {
    "settings": "Print every setting, its value, and where that was said.",
    "defects": "Print every defect with what is true of it.",
    "skills": "Start each skill of a catalog once, and write down its tools in it.",
    **{name: word.words for name, word in WORDS.items()},
}

_WORDS = {
    "settings": "[OPTIONS] [--json]",
    "defects": "[--json]",
    "skills": "FILE",
    **{name: word.usage for name, word in WORDS.items()},
}

_USAGE = "\n       ".join((f"{_NAME} [OPTIONS]", *(f"{_NAME} {name} {words}" for name, words in _WORDS.items())))

_DESCRIPTION = """\
A memory server that speaks MCP over stdin and stdout, or over HTTP: it stores
texts and finds them again, runs skills (tools in processes of their own),
carries messages between agents, and executes procedures.

It is correct by default. It can also be started with known faults ("defects"),
each with a truth that a leak detector can be measured against.

It ends on SIGTERM, and over stdin when that ends. Over stdin, stdout carries
the protocol only; the log goes to stderr.

  settings      print every setting, its value, and where that was said
  defects       print every defect with what is true of it
  skills FILE   start each skill of a catalog once, and write down its tools

of a data folder that no server runs on:

  fsck FOLDER         verify the database, every row, and the index
  stats FOLDER        count what it holds
  export FOLDER       write the memories as JSON lines
  import FOLDER FILE  store memories from JSON lines
"""

_EPILOG = """\
Every setting can also be given by the environment (--session-idle 5m is
MIMO_SESSION_IDLE=5m; several names stand with commas between them) and by the
file (session_idle = "5m"; defect = ["NAME"]; a path is meant from the file's
folder). An option comes before the environment, that before the file. A secret
is MIMO_TOKEN, or token in the file, and as an option the name of a file.

examples:
  mimo-server
  mimo-server --data ~/memories --metrics-port 9100
  mimo-server --http 127.0.0.1:8080 --token-file token.txt
  MIMO_HTTP=127.0.0.1:8080 mimo-server --config mimo.toml
  mimo-server --profile current --without open_connections
"""


class Parser(argparse.ArgumentParser):
    """Takes no abbreviations, and says to which it knows a word is nearest that it does not know."""

    def __init__(self, prog: str, description: str, **told: Any) -> None:
        raw = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=prog, description=description, allow_abbrev=False, formatter_class=raw, **told)

    def parsed(self, words: Sequence[str]) -> dict[str, Any]:
        """Exits with 2 for a word that is not known."""
        options, rest = self.parse_known_args(words)
        if rest:  # no more of it than its name: somebody may have written a token there
            word = rest[0].partition("=")[0]
            words_too = self.prog == _NAME and not word.startswith("-")
            known = (*self._option_string_actions, *(_LISTINGS if words_too else ()))
            self.error(f"there is no {quoted(word)} here; the nearest is {nearest(word, known)}, and --help has all")
        return vars(options)


def server_parser() -> Parser:
    """Of the server itself."""
    parser = Parser(_NAME, _DESCRIPTION, usage=_USAGE, epilog=_EPILOG)
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    add_options(parser)
    return parser


def listing_parser(what: str) -> Parser:
    """Of one of the words."""
    usage = f"%(prog)s {_WORDS[what]}"
    parser = Parser(f"{_NAME} {what}", _LISTINGS[what], usage=usage)
    if what == "skills":
        parser.add_argument("file", metavar="FILE", help="the catalog")
        return parser
    if what in WORDS:
        WORDS[what].add(parser)
        return parser
    parser.add_argument("--json", action="store_true", help="as JSON")
    if what == "settings":
        add_options(parser)
    return parser


@contextmanager
def unread() -> Iterator[None]:
    """A list whose reader has seen enough (`| head`) ends there, without a word."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's own flush at the end


def list_settings(chosen: Chosen, *, as_json: bool) -> None:
    """Every setting with its value and its origin; a secret is shown as dots."""
    listed = [(row, getattr(chosen.settings, row.name), chosen.origins[row.name]) for row in rows()]
    if as_json:
        told = {row.name: {"value": _plain(row, value), "origin": origin} for row, value, origin in listed}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    for row, value, origin in listed:
        text = ", ".join(map(row.kind.write, value if row.many else (value,))) if value not in {None, ()} else "-"
        sys.stdout.write(f"{row.name:<19} {text:<26} {origin}\n")


def _plain(row: Row, value: Any) -> Any:
    """What JSON has: a number as it is, of several a list, of all else the text that would be taken."""
    if row.many:
        return [row.kind.write(one) for one in value]
    return value if value is None or isinstance(value, (int, float)) else row.kind.write(value)


def list_defects(*, as_json: bool) -> None:
    """Every defect with what is true of it."""
    listed = [entry.defect for entry in defects().values()]
    if as_json:
        sys.stdout.write(
            json.dumps([{**asdict(defect), "command": defect.command} for defect in listed], indent=2) + "\n"
        )
        return
    for defect in listed:
        told: Mapping[str, Any] = asdict(defect.truth)
        lines = {"the audit": defect.words, "mechanism": defect.mechanism}
        lines |= {key: _shown(value) for key, value in told.items() if value}
        lines["profiles"] = _shown([name for name, members in PROFILES.items() if defect.id in members]) or "none"
        lines["seen by"] = shlex.join(defect.command)
        sys.stdout.write(f"{defect.id}\n")
        for key, value in lines.items():
            sys.stdout.write(
                f"  {key:<12}" + textwrap.fill(value, 66, break_on_hyphens=False).replace("\n", _INDENT) + "\n"
            )
        sys.stdout.write("\n")


def _shown(value: object) -> str:
    if isinstance(value, Mapping) and all(isinstance(one, (int, float)) for one in value.values()):
        return ", ".join(f"{key}: {one:g}" for key, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else f"{value}"
