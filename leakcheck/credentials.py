"""Keeps credentials out of every file and off every screen.

What is known to be secret (values of `--header` and `--env`, of the environment variables that they name, and of
what looks like a credential on the command line) is replaced wherever it turns up, also as JSON, a URL or base64 would
write it. What only looks like one (`--token X`, `password=…`, `user:pass@host`, `Authorization: …`) is replaced by
pattern.

Does not see: a secret that the target prints and that neither was given to us nor looks like one; a known one of fewer
than 4 characters; one that the target spreads over lines or encodes in another way.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from functools import lru_cache
from typing import Any, TypeVar, cast
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

MASK = "•••"

_NAME = (
    r"(?:api[-_]?key|access[-_]?key|auth(?:orization|entication)?(?![a-z])|bearer|cookie|credentials?|"
    r"pass(?:words?|wd|phrase|code)?(?![a-z])|private[-_]?key|secret|session[-_]?key|signature|token(?!s))"
    r"(?![-_]?(?:bytes|count|file|id|izer|kind|length|limit|name|path|seconds|size|total|type|usage)(?![a-z]))"
)
"""The second line: `token_type` and `password-file` name what is about a credential, and are none."""
# A pattern that may begin anywhere in a word and reads on to its end takes the square of the word's length: a log line
# of 2,048 digits cost 0.4 s. Each begins at the start of a word, or with the name itself.
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"(?P<head>(?<![a-z0-9+.-])[a-z][a-z0-9+.-]*://)[^/\s:@]+(?::[^/\s@]*)?@", re.IGNORECASE),
        rf"\g<head>{MASK}@",
    ),
    (
        re.compile(
            r"(?P<head>\bauthorization[\"']?\s*[:=]\s*[\"']?)(?:(?:basic|bearer|digest|token)\s+)?[^\s\"',;]+",
            re.IGNORECASE,
        ),
        rf"\g<head>{MASK}",
    ),
    (re.compile(r"(?P<head>\b(?:basic|bearer)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\g<head>{MASK}"),
    (
        re.compile(rf"(?P<head>{_NAME}[\w-]*[\"']?\s*[=:]\s*[\"']?)(?!{MASK})[^\s\"',;&]+", re.IGNORECASE),
        rf"\g<head>{MASK}",
    ),
    (re.compile(rf"(?P<head>(?<![\w-])--?[\w-]*{_NAME}[\w-]*\s+)(?!-|{MASK})\S+", re.IGNORECASE), rf"\g<head>{MASK}"),
    (
        re.compile(r"(?P<head>\b)(?:sk-|ghp_|gho_|xox[abp]-|AKIA|eyJ[A-Za-z0-9_-]{10,}\.)[A-Za-z0-9._-]{12,}"),
        rf"\g<head>{MASK}",
    ),
    (re.compile(rf"(?P<head>[?&](?:code|key|sig)=)(?!{MASK})[^\s\"'&#]+", re.IGNORECASE), rf"\g<head>{MASK}"),
)
_SHORTEST = 4
"""A known value shorter than this is not replaced: `1` or `on` would turn every text into masks."""
_PLAIN_WORDS = frozenset({"auto", "basic", "bearer", "default", "digest", "false", "none", "null", "token", "true"})
"""Values of such options as `--auth none`: no secrets, and words of our own sentences."""


T = TypeVar("T")


class Secrets:
    """The values known to be secret in this run."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Take the raw values; each is also known stripped of blanks and in its usual encodings."""
        given = {part for value in values for part in (value, value.strip())}
        plain = {part for part in given if len(part) >= _SHORTEST and part.lower() not in _PLAIN_WORDS}
        known = {form for value in plain for form in _forms(value)}
        self._known = tuple(sorted(known, key=len, reverse=True))
        self._remembered = lru_cache(maxsize=4096)(self._hide)

    def hide(self, text: str) -> str:
        """Return `text` with every credential replaced."""
        return self._remembered(text)

    def hide_all(self, value: T) -> T:
        """Return a model object with every credential replaced, in its keys too; words of ours (enums) are kept."""
        return cast("T", self._hidden(value))

    def _hidden(self, value: Any) -> Any:
        if isinstance(value, Enum):
            return value
        if isinstance(value, str):
            return self.hide(value)
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{one.name: self._hidden(getattr(value, one.name)) for one in fields(value)})
        if isinstance(value, Mapping):
            return {
                self.hide(key): MASK if isinstance(item, str) and looks_like_credential(key) else self._hidden(item)
                for key, item in value.items()
            }
        return tuple(map(self._hidden, value)) if isinstance(value, (tuple, list)) else value

    def _hide(self, text: str) -> str:
        for value in self._known:
            text = text.replace(value, MASK)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text

    def hide_command(self, argv: Iterable[str]) -> tuple[str, ...]:
        """Return a command line with every credential replaced, argument by argument; `--token X` masks X."""
        hidden: list[str] = []
        masks_next = False
        for argument in argv:
            hidden.append(MASK if masks_next else self.hide(argument))
            masks_next = bool(_OPTION.fullmatch(argument))
        return tuple(hidden)


def looks_like_credential(name: str) -> bool:
    """Tell whether a variable, header or option of this name usually holds a credential."""
    return bool(re.search(_NAME, name, re.IGNORECASE))


def in_command(argv: Sequence[str]) -> tuple[str, ...]:
    """Return the values on a command line that look like credentials: `--token X`, `--api-key=X`, `TOKEN=X`, in URLs.

    Known, they are found wherever the target repeats them without the option's name.
    """
    found: list[str] = []
    for before, argument in zip(("", *argv), argv, strict=False):
        if _OPTION.fullmatch(before) and not argument.startswith("-"):
            found.append(argument)
        found += (match["value"] for pattern in (_ASSIGNED, _GIVEN) for match in pattern.finditer(argument))
        found += in_url(argument)
    return tuple(found)


def in_environment(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of variables that are named like credentials: a target inherits ours and may print them."""
    return tuple(
        value
        for name, value in variables.items()
        if looks_like_credential(name) and len(value) >= _LIKE_A_TOKEN and not value.startswith("/")
    )


def in_url(text: str) -> tuple[str, ...]:
    """Return the credentials in a URL: its user and password, and the values of query keys that are named like one."""
    if "://" not in text:
        return ()
    try:
        parts = urlsplit(text)
        held = [part for part in (parts.username, parts.password) if part]
    except ValueError:  # no URL after all
        return ()
    if not parts.password:
        held = [part for part in held if len(part) >= _LIKE_A_TOKEN]
    queried = parse_qsl(parts.query)
    held += [value for key, value in queried if looks_like_credential(key) or key.lower() in {"code", "key", "sig"}]
    return tuple(form for part in held for form in (part, unquote(part)))


def in_json(value: object) -> tuple[str, ...]:
    """Return the texts in a decoded JSON document whose key is named like a credential."""
    if isinstance(value, Mapping):
        return tuple(
            found
            for key, item in value.items()
            for found in ((item,) if isinstance(item, str) and looks_like_credential(str(key)) else in_json(item))
        )
    return tuple(found for item in value for found in in_json(item)) if isinstance(value, list) else ()


def _forms(value: str) -> tuple[str, ...]:
    raw = value.encode(errors="surrogateescape")
    return (
        value,
        repr(value)[1:-1],
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        quote(raw, safe=""),
        quote_plus(raw),
        base64.b64encode(raw).decode().rstrip("="),
    )


_LIKE_A_TOKEN = 8
"""A user's name without a password may be a token (as git hosts take one), a shorter one is just a name. Likewise a
variable that is only named like a credential."""
_OPTION = re.compile(rf"(?<![\w-])--?[\w-]*{_NAME}[\w-]*", re.IGNORECASE)
_ASSIGNED = re.compile(rf"{_NAME}[\w-]*[\"']?\s*[=:]\s*[\"']?(?P<value>[^\s\"',;&]+)", re.IGNORECASE)
_GIVEN = re.compile(rf"(?<![\w-])--?[\w-]*{_NAME}[\w-]*\s+(?P<value>[^\s-]\S*)", re.IGNORECASE)
"""Both for a command line within one argument, as after `sh -c`."""
