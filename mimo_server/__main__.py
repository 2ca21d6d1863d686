"""The command `mimo-server`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from mimo_server.command import Parser, list_defects, list_settings, listing_parser, server_parser, unread
from mimo_server.errors import SettingsError
from mimo_server.kinds import FILE
from mimo_server.options import Chosen, choose
from mimo_server.settings import Settings, rows
from mimo_server.upkeep.words import WORDS

# What needs faiss or the SDK is imported where it is used: --help and a wrong option should not wait a second for it.


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code: 0, but for words that state another; exits with 2 for a wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    match words[:1]:
        case ["defects"]:
            as_json = listing_parser("defects").parsed(words[1:])["json"]
            with unread():
                list_defects(as_json=as_json)
        case ["settings"]:
            parser = listing_parser("settings")
            options = parser.parsed(words[1:])
            chosen = _chosen(parser, options)
            with unread():
                list_settings(chosen, as_json=options["json"])
        case ["skills"]:
            parser = listing_parser("skills")
            _discover(parser, parser.parsed(words[1:])["file"])
        case [word] if word in WORDS:
            parser = listing_parser(word)
            return _keep_up(parser, word, parser.parsed(words[1:]))
        case _:
            parser = server_parser()
            options = parser.parsed(words)
            if options["version"]:
                from importlib.metadata import version  # noqa: PLC0415 -- 40 ms

                sys.stdout.write(f"mimo-server {version('mimo-leakcheck')}\n")
            else:
                _run(parser, _chosen(parser, options).settings)
    return 0


def _chosen(parser: Parser, options: dict[str, object]) -> Chosen:
    try:
        return choose(options, os.environ)
    except SettingsError as error:
        parser.error(str(error))
    finally:
        for row in rows():
            if row.kind.secret:  # whoever forgets to choose what a child gets, does not give it this
                os.environ.pop(row.variable, None)


def _run(parser: Parser, settings: Settings) -> None:
    with _ready(parser):
        import uvloop  # noqa: PLC0415

        from mimo_server.app import App  # noqa: PLC0415
        from mimo_server.defects import defects  # noqa: PLC0415
        from mimo_server.surface.server import serve  # noqa: PLC0415

        app = App(settings)
        for name in settings.defects:
            defects()[name].install(app)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # 1.3 times the calls of asyncio's own loop
            runner.run(serve(app))


def _keep_up(parser: Parser, word: str, options: dict[str, object]) -> int:
    with _ready(parser), unread():
        from mimo_server.upkeep.command import RUN  # noqa: PLC0415

        return RUN[word](options)


def _discover(parser: Parser, file: str) -> None:
    try:
        path = FILE.parse(file)
    except ValueError as error:
        parser.error(str(error))
    with _ready(parser):
        from mimo_server.skills import catalog_file  # noqa: PLC0415
        from mimo_server.skills.discover import discover  # noqa: PLC0415

        asyncio.run(discover(path))
        for name, skill in catalog_file.read(path).items():
            sys.stdout.write(f"{name}: {', '.join(tool.name for tool in skill.tools) or 'no tools'}\n")


@contextmanager
def _ready(parser: Parser) -> Iterator[None]:
    """Log; say what hinders the start as a wrong option is said."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="mimo-server: %(message)s")
    logging.getLogger("mimo_server").setLevel(logging.INFO)
    try:
        yield
    except SettingsError as error:
        parser.error(str(error))
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mimo_server"):
            raise
        parser.error(
            f"the package '{error.name}' of the extra 'server' is not installed; install it with: "
            "pip install 'mimo-leakcheck[server]' (in a checkout: pip install '.[server]')"
        )


if __name__ == "__main__":
    sys.exit(main())
