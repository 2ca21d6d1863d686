"""Where a page ended: opaque, of one size, and good for the same search only."""

from __future__ import annotations

import base64
import binascii
import math
import struct
from dataclasses import dataclass
from hashlib import blake2b

from mimo_server.errors import InvalidError
from mimo_server.memory.index import Rank
from mimo_server.memory.record import Search

_FORM = struct.Struct("<B8sIdqq")
_VERSION = 1
_MOST_SEEN = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Up to where a search was answered."""

    after: Rank
    """The last memory given."""
    seen: int
    """How many came up to it."""
    watermark: int
    """Number of the last change when the first page was made; what is newer is left out of all pages."""

    def written(self, search: Search) -> str:
        """As a cursor: 52 characters."""
        seen = min(self.seen, _MOST_SEEN)
        packed = _FORM.pack(_VERSION, _digest(search), seen, self.after.similarity, self.after.id, self.watermark)
        return base64.urlsafe_b64encode(packed).decode("ascii")


def place_of(cursor: str, search: Search) -> Place:
    """The place that a cursor of this search names. Raises InvalidError for any other text."""
    try:
        version, digest, seen, similarity, number, watermark = _FORM.unpack(
            base64.b64decode(cursor.encode("ascii"), b"-_", validate=True)
        )
    except (ValueError, binascii.Error, struct.error) as error:
        raise InvalidError("the cursor is none of this server; give next_cursor as it came, or none") from error
    if version != _VERSION or not math.isfinite(similarity) or number < 1 or watermark < 0:
        raise InvalidError("the cursor is none of this server; give next_cursor as it came, or none")
    if digest != _digest(search):
        raise InvalidError("the cursor is of another search; repeat the search it came from, or leave the cursor out")
    return Place(after=Rank(similarity, number), seen=seen, watermark=watermark)


def _digest(search: Search) -> bytes:
    """Of all that decides which memories are found, and in which order; the limit may change from page to page."""
    bounds = (search.min_similarity, search.min_importance, search.max_importance)
    digest = blake2b(repr((search.text, search.category, *map(float, bounds))).encode("utf-8"), digest_size=8)
    if search.vector is not None:
        digest.update(search.vector.tobytes())
    return digest.digest()
