"""Latencies as HDR histograms: counted here, sent to Locust's master, merged there, told as percentiles.

Source: Gil Tene's HdrHistogram, by the package hdrhistogram; three significant digits from 1 µs to 1 hour.

Does not see: what lies between two values that share their first three digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hdrh.histogram import HdrHistogram

_LOWEST_US, _HIGHEST_US, _DIGITS = 1, 3_600_000_000, 3
PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
MOST_NAMES = 200
"""Of rows: names that hold an id would be without number; the rest shares one row."""
OTHERS = "(other names)"


class Latencies:
    """A histogram per key; keys are texts."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        """Take at most so many keys; what comes under further ones shares OTHERS."""
        self._most = most
        self._by_key: dict[str, HdrHistogram] = {}

    def record(self, key: str, seconds: float) -> None:
        """Count one latency; what is beyond an hour counts as an hour."""
        self.of(key).record_value(min(_HIGHEST_US, max(_LOWEST_US, round(seconds * 1e6))))

    def of(self, key: str) -> HdrHistogram:
        """The histogram of a key, made when there is none."""
        if key not in self._by_key and len(self._by_key) >= self._most:
            key = OTHERS
        if key not in self._by_key:
            self._by_key[key] = HdrHistogram(_LOWEST_US, _HIGHEST_US, _DIGITS)
        return self._by_key[key]

    def keys(self) -> Iterable[str]:
        """All keys, in the order of their first latency."""
        return list(self._by_key)

    def take(self) -> dict[str, bytes]:
        """What was counted since the last call, as it is sent; nothing of it is kept."""
        taken = {key: one.encode() for key, one in self._by_key.items() if one.get_total_count()}
        for one in self._by_key.values():
            one.reset()
        return taken

    def merge(self, taken: Mapping[str, bytes]) -> None:
        """Add what another process has taken. Raises ValueError or HdrCookieException where it is no histogram."""
        for key, encoded in taken.items():
            self.of(key).decode_and_add(encoded)

    def clear(self) -> None:
        """Begin anew."""
        self._by_key.clear()


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


def three_digits(milliseconds: float) -> float:
    """A time in milliseconds with three significant digits: Locust's own tables keep two, and no part of one."""
    return float(f"{milliseconds:.3g}")


def _ms(microseconds: float) -> float:
    return three_digits(microseconds / 1000)
