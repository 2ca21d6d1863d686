"""How the value of a setting is written: one kind each, whoever gives it (an option, the environment, a file)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from mimo_server.defects import PROFILES, names

T = TypeVar("T")

LEXICAL = "lexical"
"""The embedder that needs nobody."""

_LONGEST_SHOWN = 60
_B64TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]{16,1024}={0,2}")
"""RFC 6750, section 2.1: what may stand in `Authorization: Bearer`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[T]):
    """`parse` takes the text, or raises ValueError: what is wrong, with which text, and what to give."""

    metavar: str
    parse: Callable[[str], T]
    write: Callable[[T], str] = str
    """Back to a text that `parse` takes, but for a secret."""
    path: bool = False
    """Relative to the settings file, where that names it."""
    secret: bool = False
    """Never shown, and never a word of the command line, which everybody on the machine can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen: an address of this machine that nobody else can reach."""

    host: str
    port: int
    """0: any free one."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """From HOST:PORT; an IPv6 host stands in brackets. Raises ValueError with what to do."""
        host, _, port = text.rpartition(":")
        if not host or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > 65_535:
            raise ValueError(f"{quoted(text)} is no HOST:PORT; give one such as 127.0.0.1:8080 (port 0: any free one)")
        try:
            number = ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
        except ValueError:
            number = None
        if number is None or not number.is_loopback:
            raise ValueError(
                f"{quoted(host)} is no loopback host, and what is spoken here is not encrypted; "
                "give 127.0.0.1, localhost or [::1], and put a proxy with TLS in front of it"
            )
        return cls(host=str(number), port=int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def quoted(text: str) -> str:
    """The text for a message: as Python writes it, and no longer than a line."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…")


def whole(low: int, high: int, metavar: str = "N") -> Kind[int]:
    """A whole number."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,18}", text, re.ASCII) or not low <= int(text) <= high:
            raise ValueError(f"{quoted(text)} is no whole number from {low} to {high}; give one")
        return int(text)

    return Kind(metavar=metavar, parse=parse)


def number(high: int) -> Kind[float]:
    """A number from 0 on, of which a thousandth is the smallest step."""

    def parse(text: str) -> float:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,3})?", text, re.ASCII) or float(text) > high:
            raise ValueError(f"{quoted(text)} is no number from 0 to {high}; give one such as 5 or 0.5")
        return float(text)

    return Kind(metavar="NUMBER", parse=parse, write=_plain)


def one_of(what: str, metavar: str, known: Callable[[], Iterable[str]]) -> Kind[str]:
    """One of the names that there are."""

    def parse(text: str) -> str:
        if text not in known():
            raise ValueError(f"there is no {what} {quoted(text)}; choose from {', '.join(known())}")
        return text

    return Kind(metavar=metavar, parse=parse)


def _plain(value: float) -> str:
    return str(value).removesuffix(".0")


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)(s|m|h)", text, re.ASCII)
    seconds = round(float(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]], 6) if found else 0.0
    if not 0.1 <= seconds <= 86_400:
        raise ValueError(f"{quoted(text)} is no time from 0.1s to 24h; give one such as 5s, 2m or 1h")
    return seconds


def _age(text: str) -> float:
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)(s|m|h|d)", text, re.ASCII)
    seconds = round(float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]], 6) if found else 0.0
    if not 1 <= seconds <= 36_500 * 86_400:
        raise ValueError(f"{quoted(text)} is no age from 1s to 36500d; give one such as 12h or 90d")
    return seconds


def _path(text: str) -> Path:
    """`~` is a home: an MCP client starts the server without a shell that would know."""
    try:
        if not text or "\0" in text:
            raise ValueError(f"{quoted(text)} is no path; give one")
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{quoted(text)} starts in a home that nobody has; give a whole path") from error


def _file(text: str) -> Path:
    path = _path(text)
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ValueError(f"{quoted(text)} is no file that can be read; choose one that exists and that you may read")
    return path


def _folder(text: str) -> Path:
    path = _path(text)
    there = next((one for one in (path, *path.parents) if os.path.lexists(one)), Path())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(
            f"{quoted(text)} cannot be had: {quoted(str(there))} is no folder that can be written; "
            "choose one that you may write"
        )
    return path


def _embedder(text: str) -> str:
    cure = f"give {LEXICAL!r}, or the URL of an OpenAI-compatible endpoint such as http://127.0.0.1:11434/v1"
    if text == LEXICAL:
        return text
    if "@" in text:  # it may be a password, so it is not repeated
        raise ValueError(f"a URL with a user or a password is not taken; set embeddings_key, and {cure}")
    try:
        url = urlsplit(text)
        fits = (
            url.scheme in {"http", "https"} and bool(url.hostname) and url.port != 0 and not (url.query + url.fragment)
        )
    except ValueError:
        fits = False
    if not fits or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"{quoted(text)} is no embedder; {cure}")
    return text


def _model(text: str) -> str:
    if not 1 <= len(text) <= 200 or not text.isprintable():
        raise ValueError(f"{quoted(text)} is no name of a model; give 1 to 200 printable characters")
    return text


def _token(text: str) -> str:
    if not _B64TOKEN.fullmatch(text):
        raise ValueError(
            "it is no token of 16 to 1024 characters out of A-Z a-z 0-9 - . _ ~ + /; make one with: "
            "python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return text


def _hidden(_: str) -> str:
    return "•••"


def _key(text: str) -> str:
    if not re.fullmatch(r"[!-~]{1,4096}", text):
        raise ValueError("it is no key; give the one of the endpoint: 1 to 4096 visible ASCII characters, no space")
    return text


TIME = Kind(metavar="TIME", parse=_seconds, write=lambda seconds: f"{_plain(seconds)}s")
"""Seconds."""
AGE = Kind(metavar="AGE", parse=_age, write=lambda seconds: f"{_plain(seconds)}s")
"""Seconds."""
ADDRESS = Kind(metavar="HOST:PORT", parse=Address.parse)
FILE = Kind(metavar="FILE", parse=_file, path=True)
FOLDER = Kind(metavar="DIR", parse=_folder, path=True)
EMBEDDER = Kind(metavar="URL", parse=_embedder)
MODEL = Kind(metavar="NAME", parse=_model)
TOKEN = Kind(metavar="FILE", parse=_token, write=_hidden, secret=True)
KEY = Kind(metavar="FILE", parse=_key, write=_hidden, secret=True)
PROFILE = one_of("profile", "NAME", lambda: tuple(PROFILES))
ORDER = one_of("order", "ORDER", lambda: ("importance", "age"))
DEFECT = one_of("defect", "NAME", names)
