"""Latencies as HDR histograms: counted here, sent to Locust's master, merged there, told as percentiles.

Source: Gil Tene's HdrHistogram, by the package hdrhistogram; three significant digits from 1 µs to 1 hour.

Does not see: what lies between two values that share their first three digits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from hdrh.histogram import HdrHistogram

_LOWEST_US, _HIGHEST_US, _DIGITS = 1, 3_600_000_000, 3
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
MOST_NAMES = 200
"""Of rows: names that hold an id would be without number; the rest shares one row."""
OTHERS = "(other names)"


class Latencies:
    """A histogram per key; keys are texts. Those not used of late are packed: 200 KB become some 500 B."""

    def __init__(self, most: int = MOST_NAMES, *, open_at_once: int = MOST_NAMES) -> None:
        """Take at most so many keys; what comes under further ones shares OTHERS."""
        self._most, self._open_at_once = most, open_at_once
        self._open: OrderedDict[str, HdrHistogram] = OrderedDict()
        """Counted into, the one used last at the end."""
        self._packed: dict[str, bytes] = {}
        self._order: dict[str, None] = {}

    def record(self, key: str, seconds: float) -> None:
        """Count one latency; what is beyond an hour counts as an hour."""
        self.of(key).record_value(min(_HIGHEST_US, max(_LOWEST_US, round(seconds * 1e6))))

    def of(self, key: str) -> HdrHistogram:
        """The histogram of a key, made when there is none; to be counted into before the next key is asked for."""
        if key not in self._order and len(self._order) >= self._most:
            key = OTHERS
        if key in self._open:
            self._open.move_to_end(key)
            return self._open[key]
        self._order[key] = None
        self._open[key] = histogram = HdrHistogram(_LOWEST_US, _HIGHEST_US, _DIGITS)
        if packed := self._packed.pop(key, None):
            histogram.decode_and_add(packed)
        if len(self._open) > self._open_at_once:
            oldest, idle = self._open.popitem(last=False)
            if idle.get_total_count():
                self._packed[oldest] = idle.encode()
        return histogram

    def keys(self) -> Iterable[str]:
        """All keys, in the order of their first latency."""
        return list(self._order)

    def take(self) -> dict[str, bytes]:
        """What was counted since the last call, as it is sent; nothing of it is kept."""
        taken = {**self._packed, **{key: one.encode() for key, one in self._open.items() if one.get_total_count()}}
        self._packed.clear()
        for one in self._open.values():
            one.reset()
        return taken

    def merge(self, taken: Mapping[str, bytes]) -> None:
        """Add what another process has taken. Raises ValueError or HdrCookieException where it is no histogram."""
        for key, encoded in taken.items():
            self.of(key).decode_and_add(encoded)

    def clear(self) -> None:
        """Begin anew."""
        self._open.clear()
        self._packed.clear()
        self._order.clear()


def summary(histogram: HdrHistogram) -> dict[str, Any]:
    """Count, percentiles, least and most, in milliseconds with three digits."""
    if not histogram.get_total_count():
        return {"count": 0}
    found = histogram.get_percentile_to_value_dict(list(PERCENTILES))
    return {
        "count": histogram.get_total_count(),
        **{f"p{percentile:g}_ms": _ms(value) for percentile, value in found.items()},
        "mean_ms": _ms(histogram.get_mean_value()),
        "max_ms": _ms(histogram.get_max_value()),
    }


def _ms(microseconds: float) -> float:
    return float(f"{microseconds / 1000:.3g}")
