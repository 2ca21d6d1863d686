"""What may be stored and searched for, checked at the door."""

from __future__ import annotations

import json
from collections.abc import Mapping

from mimo_server.errors import InvalidError
from mimo_server.memory.record import Draft, Search

MOST_AT_ONCE = 1000
"""Of one page, and of one `store`."""
_LONGEST_CONTENT = 100_000
"""Characters."""
_LONGEST_METADATA = 8 << 10
"""Bytes as JSON."""
_DEEPEST_METADATA = 32
"""Objects and lists inside each other."""
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999."""


def check_draft(draft: Draft) -> None:
    """Raises InvalidError for what cannot be kept: which value, and what to give."""
    if not 1 <= len(draft.content) <= _LONGEST_CONTENT:
        raise InvalidError(f"the content has {len(draft.content)} characters; give 1 to {_LONGEST_CONTENT}")
    _check_text("content", draft.content)
    _check_fraction("importance", draft.importance)
    if draft.created_at is not None and not 0.0 <= draft.created_at <= _LAST_SECOND:  # nor NaN
        raise InvalidError(f"created_at is {draft.created_at}; give seconds since 1970, up to the year 9999")
    if draft.metadata:
        _check_metadata(draft.metadata)


def _check_metadata(metadata: Mapping[str, object]) -> None:
    if _deeper_than(_DEEPEST_METADATA, metadata):
        raise InvalidError(f"the metadata is nested deeper than {_DEEPEST_METADATA} levels; flatten it")
    try:
        size = len(json.dumps(dict(metadata), ensure_ascii=False, allow_nan=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidError(f"the metadata cannot be kept as JSON ({str(error)[:100]}); give plain values") from error
    if size > _LONGEST_METADATA:
        raise InvalidError(f"the metadata has {size} bytes as JSON; give at most {_LONGEST_METADATA}")


def _deeper_than(most: int, value: object) -> bool:
    level = [value]
    for _ in range(most):
        inner = [one.values() if isinstance(one, Mapping) else one for one in level if isinstance(one, Mapping | list)]
        level = [child for one in inner for child in one]
        if not level:
            return False
    return any(isinstance(one, Mapping | list) for one in level)


def check_search(wanted: Search) -> None:
    """Raises InvalidError for a search that means nothing."""
    if not 1 <= wanted.limit <= MOST_AT_ONCE:
        raise InvalidError(f"limit is {wanted.limit}; give 1 to {MOST_AT_ONCE}")
    if wanted.text is not None and wanted.vector is not None:
        raise InvalidError("a search has a text and a vector; give one of them")
    if not -1.0 <= wanted.min_similarity <= 1.0:
        raise InvalidError(f"min_similarity is {wanted.min_similarity}; give -1 to 1")
    _check_text("query", wanted.text or "")
    _check_fraction("min_importance", wanted.min_importance)
    _check_fraction("max_importance", wanted.max_importance)


def _check_fraction(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:  # nor NaN
        raise InvalidError(f"{name} is {value}; give 0 to 1")


def _check_text(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidError(f"character {error.start} of the {name} is half of a pair; give whole characters") from error
