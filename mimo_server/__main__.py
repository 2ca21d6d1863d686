"""The command `mimo-server`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from mimo_server.defects import PROFILES, defects, names
from mimo_server.errors import SettingsError
from mimo_server.settings import Address, Settings

_DESCRIPTION = """\
A memory server that speaks MCP over stdin and stdout, or over HTTP: it stores texts and finds them again by their
words.

It is correct by default. It can also be started with known faults ("defects"), each with a truth that a leak
detector can be measured against; `mimo-server defects` lists them. It ends on SIGTERM, and over stdin
when that ends. Stdout carries the protocol only; the log goes to stderr.
"""

_SEED_OF_SCANS = 1000
"""Memories that profile `current` starts with: a scan takes 0.15 s and 12 MB more, against 60 MB without."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code: 0, or 2 for a wrong option."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["defects"]:
        _list_defects(as_json=_listing_parser().parse_args(words[1:]).json)
        return 0
    parser = _parser()
    options = parser.parse_args(words)
    wanted = dict.fromkeys((*PROFILES[options.profile], *options.defect))
    chosen = tuple(name for name in wanted if name not in options.without)
    settings = Settings(
        http=options.http,
        session_idle=options.session_idle,
        max_sessions=options.max_sessions,
        read_timeout=options.read_timeout,
        metrics_port=options.metrics_port,
        data=options.data,
        dimensions=options.dimensions,
        seed_memories=_seed(options, chosen),
        defects=chosen,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="mimo-server: %(message)s")
    logging.getLogger("mimo_server").setLevel(logging.INFO)
    try:
        _serve(settings)
    except SettingsError as error:
        parser.error(str(error))
    return 0


def _serve(settings: Settings) -> None:
    """Build the app, put the defects in, run it."""
    try:  # only now: --help and a wrong option should not wait a second for faiss and the SDK
        from mimo_server.app import App  # noqa: PLC0415
        from mimo_server.surface.server import serve  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"the package '{error.name}' of the extra 'server' is not installed; install it with: "
            "pip install 'mimo-leakcheck[server]' (in a checkout: pip install '.[server]')"
        ) from error

    app = App(settings)
    for name in settings.defects:
        defects()[name].install(app)
    asyncio.run(serve(app))


def _seed(options: argparse.Namespace, chosen: tuple[str, ...]) -> int:
    if options.seed_memories is not None:
        return int(options.seed_memories)
    return _SEED_OF_SCANS if options.profile == "current" and "json_text_scan" in chosen else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mimo-server",
        usage="%(prog)s [OPTIONS]\n       %(prog)s defects [--json]",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mimo-server {version('mimo-leakcheck')}")
    _add_http(parser)
    parser.add_argument(
        "--metrics-port",
        type=_whole(0, 65_535),
        metavar="PORT",
        help="serve http://127.0.0.1:PORT/metrics (OpenMetrics); 0 takes a free port and logs it (default: no page)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="keep the memories in this folder (default: a private temporary one, removed at the end)",
    )
    parser.add_argument(
        "--profile",
        choices=tuple(PROFILES),
        default="fixed",
        help="fixed: no defect (default); current: " + ", ".join(PROFILES["current"]),
    )
    parser.add_argument(
        "--defect", type=_defect, action="append", default=[], metavar="NAME", help="add this defect; repeatable"
    )
    parser.add_argument(
        "--without",
        type=_defect,
        action="append",
        default=[],
        metavar="NAME",
        help="leave this defect of the profile out; repeatable",
    )
    parser.add_argument(
        "--dimensions",
        type=_whole(8, 4096),
        default=384,
        metavar="N",
        help="length of an embedding, 8 to 4096 (default: 384)",
    )
    parser.add_argument(
        "--seed-memories",
        type=_whole(0, 1_000_000),
        metavar="N",
        help=f"start with at least N memories, generated where missing (default: 0; profile current: {_SEED_OF_SCANS})",
    )
    return parser


def _add_http(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("over HTTP")
    group.add_argument(
        "--http",
        type=_address,
        metavar="HOST:PORT",
        help="speak MCP over streamable HTTP at http://HOST:PORT/mcp instead, with /health and /metrics beside it; "
        "HOST is a loopback one, port 0 takes a free one and logs it (default: over stdin and stdout)",
    )
    group.add_argument(
        "--session-idle",
        type=_duration,
        default=1800.0,
        metavar="TIME",
        help="end a session that had no request for so long, e.g. 5s, 2m (default: 30m)",
    )
    group.add_argument(
        "--max-sessions",
        type=_whole(1, 1_000_000),
        default=1000,
        metavar="N",
        help="refuse a further session with 503 (default: 1000)",
    )
    group.add_argument(
        "--read-timeout",
        type=_duration,
        default=10.0,
        metavar="TIME",
        help="drop a connection whose next request has not come whole for so long (default: 10s)",
    )


def _listing_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mimo-server defects", description="List the defects with what is true of each.", allow_abbrev=False
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    return parser


def _whole(low: int, high: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {low} to {high}; give one")
        return int(text)

    return whole


def _address(text: str) -> Address:
    try:
        return Address.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _duration(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|h)", text, re.ASCII)
    seconds = float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]] if found else 0.0
    if not 0.1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no time from 0.1s to 24h; give one such as 5s, 2m or 1h")
    return seconds


def _defect(text: str) -> str:
    if text not in names():
        raise argparse.ArgumentTypeError(f"there is no defect {text!r}; choose from {', '.join(names())}")
    return text


def _list_defects(*, as_json: bool) -> None:
    listed = [entry.defect for entry in defects().values()]
    if as_json:
        sys.stdout.write(json.dumps([asdict(defect) for defect in listed], indent=2) + "\n")
        return
    for defect in listed:
        rows = {"the audit": defect.words, "mechanism": defect.mechanism}
        rows |= {key: _shown(value) for key, value in asdict(defect.truth).items() if value}
        profiles = [name for name, members in PROFILES.items() if defect.id in members]
        rows["profiles"] = _shown(profiles) or "none"
        sys.stdout.write(f"{defect.id}\n")
        for key, value in rows.items():
            filled = textwrap.fill(value, 80, initial_indent=f"  {key:<12}", subsequent_indent=" " * 14)
            sys.stdout.write(filled + "\n")
        sys.stdout.write("\n")


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else f"{value}"


if __name__ == "__main__":
    sys.exit(main())
