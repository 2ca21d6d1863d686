"""The slots whose codes are nearest to a code: how far all are, then those below a bound read off a sample."""

from __future__ import annotations

import math

import faiss
import numpy as np
from numpy.typing import NDArray

from mimo_server.memory.index import Numbers
from mimo_server.memory.signs import Codes

_SAMPLED = 16
"""One of so many."""
_ERRORS = 3.5
"""Of the sample, that the bound lies above what it says: once in 4,000 searches it is too low all the same."""


Bits = NDArray[np.int32]
"""In how many bits each code differs."""


def differing(codes: Codes, code: Codes) -> Bits:
    """codes: N x b bytes, b a multiple of eight; code: 1 x b."""
    # OpenMP keeps this per calling thread, so it is said here. A second thread spins between searches: with 2000
    # vectors on two cores it cost 1,500 of 2,150 calls/s.
    faiss.omp_set_num_threads(1)
    counted = np.empty(len(codes), dtype=np.int32)
    of = faiss.swig_ptr
    faiss.hammings(of(code), of(codes), 1, len(codes), codes.shape[1], of(counted))  # type: ignore[attr-defined]  # not in its stubs
    return counted


def nearest(heads: Codes, code: Codes, wanted: int, fits: NDArray[np.bool_]) -> tuple[Numbers, Bits]:
    """The slots of those `wanted` that fit and differ from the code in the fewest bits, of equals the lower slot.

    With the bits of each, in no order; fewer only where no more fit. Searches that come together each read all codes:
    what takes the time is counting bits, which one pass for several does as often.

    heads: N x 64 bytes; code: 1 x 64. For the time of the call 4 N bytes.
    """
    bits = differing(heads, code)
    slots = np.flatnonzero((bits <= _bound(bits, wanted, fits)) & fits)
    if len(slots) < wanted:  # the sample was unlucky, or no more fit
        slots = np.flatnonzero(fits)
    slots = fewest(bits[slots], slots, wanted)
    return slots, bits[slots]


def fewest(bits: Bits, slots: Numbers, wanted: int) -> Numbers:
    """So many of the slots: those of the fewest bits, of equals the lower, whatever the order they came in."""
    if len(slots) <= wanted:
        return slots
    order = bits.astype(np.int64) << 40 | slots
    return slots[np.argpartition(order, wanted)[:wanted]]


def _bound(bits: Bits, wanted: int, fits: NDArray[np.bool_]) -> int:
    """A number of bits in which at least as many as wanted differ at most, as far as a sample can tell."""
    sample = bits[::_SAMPLED][fits[::_SAMPLED]]
    place = wanted / _SAMPLED
    place = round(place + _ERRORS * math.sqrt(place))
    if place >= len(sample):
        return int(np.iinfo(np.int32).max)
    return int(np.partition(sample, place)[place])
