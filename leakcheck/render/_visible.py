"""Text that comes from the target is hostile: here it loses every power over the reader's screen."""

from __future__ import annotations

import unicodedata

_MOST = 2_000
"""Characters kept of one text: far more than any sentence of ours, far less than what could fill a report."""

_ACTING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories that act instead of showing: controls (ESC), format (bidi overrides, zero width), halves of
surrogate pairs, private and unassigned characters, line and paragraph separators."""

_MOST_LINES = 12
"""Of one message: a sentence and the target's last ten lines."""

_MOST_MARKS = 2
"""Combining marks kept in a row: more of them paint over the lines around."""


def visible(text: str, most: int = _MOST) -> str:
    r"""Return `text` on one line with every character that acts written as its escape (`\x1b`, `\u202e`).

    At most about `most` characters are kept; a cut is marked with `…`. Does not see: letters that only look like
    others.
    """
    cut = text[:most]
    shown = "".join(_spread(cut)) if not (cut.isascii() and cut.isprintable()) else cut
    return shown if len(text) <= most else shown + "…"


def visible_lines(text: str, most: int = _MOST) -> str:
    """Return `text` with each of its lines visible; all but the first are indented, so they pass for none of ours."""
    return "\n  ".join(visible(line, most) for line in text.split("\n")[:_MOST_LINES])


def _spread(text: str) -> list[str]:
    pieces: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if category in _ACTING or marks > _MOST_MARKS:
            pieces.append(_escape(ord(character)))
        else:
            pieces.append(" " if category == "Zs" else character)
    return pieces


def _escape(code: int) -> str:
    named = {9: "\\t", 10: "\\n", 13: "\\r"}.get(code)
    if named:
        return named
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
