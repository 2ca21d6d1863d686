"""Keeps credentials out of every file and off every screen.

What is known to be secret (values of `--header` and `--env`, and of the environment variables that they name) is
replaced wherever it turns up. What only looks like one (`--token X`, `password=…`, `user:pass@host`,
`Authorization: …`) is replaced by pattern.

Does not see: a secret that the target prints and that neither was given to us nor looks like one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "•••"

_NAME = (
    r"(?:api[-_]?key|access[-_]?key|auth(?:orization)?|bearer|cookie|credentials?|pass(?:word|wd|phrase)?|"
    r"private[-_]?key|secret|session[-_]?key|signature|token(?!s))"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://)[^/\s:@]+(?::[^/\s@]*)?@", re.IGNORECASE), rf"\g<head>{MASK}@"),
    (
        re.compile(
            r"(?P<head>\bauthorization[\"']?\s*[:=]\s*[\"']?)(?:(?:basic|bearer|digest|token)\s+)?[^\s\"',;]+",
            re.IGNORECASE,
        ),
        rf"\g<head>{MASK}",
    ),
    (re.compile(r"(?P<head>\b(?:basic|bearer)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\g<head>{MASK}"),
    (
        re.compile(rf"(?P<head>[\w-]*{_NAME}[\w-]*[\"']?\s*[=:]\s*[\"']?)(?!{MASK})[^\s\"',;&]+", re.IGNORECASE),
        rf"\g<head>{MASK}",
    ),
    (re.compile(rf"(?P<head>--?[\w-]*{_NAME}[\w-]*\s+)(?!-|{MASK})\S+", re.IGNORECASE), rf"\g<head>{MASK}"),
    (
        re.compile(r"(?P<head>\b)(?:sk-|ghp_|gho_|xox[abp]-|AKIA|eyJ[A-Za-z0-9_-]{10,}\.)[A-Za-z0-9._-]{12,}"),
        rf"\g<head>{MASK}",
    ),
)
_SHORTEST = 4
"""A known value shorter than this is not replaced: `1` or `on` would turn every text into masks."""


class Secrets:
    """The values known to be secret in this run."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        """Take the raw values; each is also known with surrounding blanks stripped."""
        known = {part for value in values for part in (value, value.strip()) if len(part) >= _SHORTEST}
        self._known = tuple(sorted(known, key=len, reverse=True))

    def hide(self, text: str) -> str:
        """Return `text` with every credential replaced."""
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


_OPTION = re.compile(rf"--?[\w-]*{_NAME}[\w-]*", re.IGNORECASE)
