"""Memories from a seed: texts and vectors by their number, the same on every machine, made when asked for, never held.

A text has words of a common vocabulary, as topics have, and one word of its own, by which it is found again. Everything
is drawn from SHAKE-128 over the seed and the number, so no version of Python or of a library changes it.

Does not see: what people write; the words are alike in length and in how often they occur.
"""

from __future__ import annotations

import base64
import hashlib
from array import array
from typing import Any

SEED = "mimo"
CATEGORIES = ("fact", "action", "observation", "plan", "episode", "procedure")
_SYLLABLES = ("ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "xu", "zy")
_VOCABULARY = 2048
_WORDS = 10
"""Of a text, beside its own."""
_TOPICS = 64
"""Of the vectors: each is near one of so many directions."""
_NOISE = 0.7
"""Of a vector's length that is its own."""


def drawn(what: str, number: int, length: int) -> bytes:
    """So many bytes for a number."""
    return hashlib.shake_128(f"{SEED} {what} {number}".encode()).digest(length)


def own_word(number: int) -> str:
    """The word that only this text has: its number in syllables, seven of them up to 268 million."""
    syllables = []
    for _ in range(7):
        number, place = divmod(number, len(_SYLLABLES))
        syllables.append(_SYLLABLES[place])
    return "".join(syllables)


def words(number: int) -> list[str]:
    """The words of a text, its own first."""
    places = array("H", drawn("text", number, 2 * _WORDS))
    return [own_word(number), *(_word(place % _VOCABULARY) for place in places)]


def _word(place: int) -> str:
    """A word of the vocabulary: three syllables and a letter, none of which a text's own word is."""
    first, rest = divmod(place, 256)
    return f"{_SYLLABLES[rest >> 4]}{_SYLLABLES[rest & 15]}{_SYLLABLES[first % 16]}{'lmnrstbdgkpvwz'[first % 14]}"


def text(number: int) -> str:
    """A text of eleven words."""
    return " ".join(words(number))


def part(number: int) -> str:
    """Four words of a text, its own among them: a query that finds it."""
    return " ".join(words(number)[:4])


def memory(number: int) -> dict[str, Any]:
    """The arguments of `memory_store`."""
    category, importance = drawn("kind", number, 2)
    return {
        "content": text(number),
        "category": CATEGORIES[category % len(CATEGORIES)],
        "importance": (importance % 101) / 100,
        "metadata": {"number": number},
    }


def vector(number: int, dimensions: int) -> str:
    """A vector near one of 64 topics, as base64 of little-endian float32."""
    topic = array("b", drawn("topic", number % _TOPICS, dimensions))
    own = array("b", drawn("vector", number, dimensions))
    values = array("f", ((1 - _NOISE) * one + _NOISE * other for one, other in zip(topic, own, strict=True)))
    return base64.b64encode(values.tobytes()).decode()
