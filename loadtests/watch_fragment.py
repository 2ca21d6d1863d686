"""The charts that a watch serves, checked before they stand in a page of ours. Pure, standard library only.

Whoever listens at that address is another process: what it says is let through when it is HTML of one narrow form,
plain elements and drawings, strictly nested, without link, script, image or form, and refused as a whole when not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LARGEST = 256 * 1024
"""Bytes of one fragment: a watch keeps to 200 KiB."""
_LARGEST_STYLE = 32 * 1024
_TAG = "article|b|br|code|details|div|h1|h2|h3|h4|header|i|li|p|path|section|span|summary|svg|title|ul"
_VOID = frozenset({"br", "path"})
_ATTRIBUTES = (
    r'class="[\w .-]*+"|class=[\w-]++|id="?(?:r-[\w-]++|verdict|keys|not-judged)"?|aria-label="[^"<>]*+"'
    r'|aria-hidden=true|role=img|viewBox="[\d ]++"|preserveAspectRatio=none|d="[MLHVhvz\d .-]*+"'
    r'|style="(?:top|left):-?[\d.]++%"'
)
_FORM = re.compile(rf"(?:[^<]++|</(?:{_TAG})>|<(?:{_TAG})(?: (?:{_ATTRIBUTES}))*+/?>)*+")
_NAME = re.compile(r"<(/?)(\w+)")
_STYLE = re.compile(r"\s*<style>([^<]*)</style>", re.ASCII)
_REACHES_OUT = re.compile(r"@import|url\s*\(|image-set|\\", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A style sheet that loads nothing, and HTML of the narrow form."""

    style: str
    html: str


def tame(body: bytes) -> Fragment:
    """Take a fragment apart; a ValueError says in what way it is none.

    Does not see: whether what it says is true; words that only look like ours.
    """
    text = body.decode("utf-8")  # a UnicodeDecodeError is a ValueError
    head = _STYLE.match(text)
    if head is None or len(head[1]) > _LARGEST_STYLE or _REACHES_OUT.search(head[1]):
        raise ValueError("no fragment with a style sheet that loads nothing")
    html = text[head.end() :]
    if _FORM.fullmatch(html) is None:
        at = _FORM.match(html)
        raise ValueError(f"no fragment of plain elements, at character {head.end() + (at.end() if at else 0)}")
    open_ones: list[str] = []
    for closes, name in _NAME.findall(html):
        if not closes:
            open_ones += [] if name in _VOID else [name]
        elif not open_ones or open_ones.pop() != name:
            raise ValueError(f"no fragment with its elements nested, at </{name}>")
    if open_ones:
        raise ValueError(f"no fragment with its elements closed: {open_ones[-1]} is not")
    return Fragment(style=head[1], html=html)
