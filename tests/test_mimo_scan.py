"""The first sieve: what it finds against counting the bits of everything, whatever the sample says."""

from __future__ import annotations

import numpy as np
import pytest

from mimo_server.memory import scan

CHANCE = np.random.default_rng(8)
HEADS = CHANCE.integers(0, 256, size=(20_000, 64), dtype=np.uint8)
CODE = CHANCE.integers(0, 256, size=(1, 64), dtype=np.uint8)


def expected(heads, fits, wanted):
    """Fewest differing bits first, then the lower slot."""
    differing = np.bitwise_count(heads ^ CODE).sum(axis=1).astype(np.int64)
    differing[~fits] = 1000
    return sorted(np.argsort(differing, kind="stable")[: min(wanted, int(fits.sum()))].tolist())


@pytest.mark.parametrize("wanted", [1, 30, 700, 5_000, 19_999, 20_000, 60_000])
@pytest.mark.parametrize("share", [1.0, 0.4, 0.01])
def test_the_fewest_differing_bits_of_those_that_fit_the_lower_slot_of_equals(wanted, share):
    fits = np.random.default_rng(3).random(len(HEADS)) < share
    found, bits = scan.nearest(HEADS, CODE, wanted, fits)
    assert bits.tolist() == np.bitwise_count(HEADS[found] ^ CODE).sum(axis=1).tolist()
    assert sorted(found.tolist()) == expected(HEADS, fits, wanted)


@pytest.mark.parametrize("first", [0, 1])
def test_a_sample_that_is_like_nothing_else_costs_time_and_not_the_answer(first):
    """Every sixteenth code is what is asked for, or its opposite: the bound is far too low, or far too high."""
    heads = HEADS.copy()
    heads[::16] = CODE if first else ~CODE
    fits = np.ones(len(heads), dtype=np.bool_)
    found, _ = scan.nearest(heads, CODE, 3_000, fits)
    assert sorted(found.tolist()) == expected(heads, fits, 3_000)


def test_few_or_none():
    fits = np.zeros(len(HEADS), dtype=np.bool_)
    assert scan.nearest(HEADS, CODE, 10, fits)[0].tolist() == []
    fits[[7, 12_345]] = True
    assert scan.nearest(HEADS, CODE, 10, fits)[0].tolist() == [7, 12_345]
    assert scan.nearest(HEADS[:3], CODE, 10, np.ones(3, dtype=np.bool_))[0].tolist() == [0, 1, 2]
