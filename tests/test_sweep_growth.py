"""The numbers of a sweep: growth, projections, claims. No process is started here."""

import math
import random

import pytest

from leakcheck.errors import UsageError
from leakcheck.model.sweep import Cell, Claim, ClaimVerdict, Growth, Origin, SweepSeries
from leakcheck.sweep.claims import judge_claims
from leakcheck.sweep.growth import growth, line, resolution
from leakcheck.sweep.projecting import project
from leakcheck.sweep.quantities import amount, share_or_bytes

SIZES = (1_000, 3_000, 10_000, 30_000)
MEMORY = resolution("memory.anon.rest", "bytes")
MIB = 1024.0 * 1024.0


def runs(cost, sizes=SIZES, noise=0.0, repeats=1):
    draw = random.Random(1)
    return [(size, cost(size) * (1 + draw.uniform(-noise, noise))) for size in sizes for _ in range(repeats)]


@pytest.mark.parametrize("power", [0.5, 1.0, 1.3, 2.0])
def test_the_exponent_above_the_empty_server_is_found(power):
    found = growth(runs(lambda size: 50 * MIB + 100_000 * size**power), 50 * MIB, MEMORY)
    assert found.exponent == pytest.approx(power, abs=1e-6)
    assert found.exponent_low <= power + 1e-6
    assert found.exponent_high >= power - 1e-6
    assert not found.flat


@pytest.mark.parametrize("seed", range(20))
def test_the_interval_of_a_noisy_exponent_holds_the_truth_nearly_always(seed):
    draw = random.Random(seed)
    noisy = [(size, 8_000 * size * math.exp(draw.gauss(0, 0.05))) for size in SIZES for _ in range(3)]
    found = growth(noisy, 0.0, MEMORY)
    assert found.exponent_low - 0.05 <= 1.0 <= found.exponent_high + 0.05
    assert found.exponent_high - found.exponent_low < 0.15


def test_without_taking_the_empty_server_off_the_exponent_would_be_too_low():
    cost = runs(lambda size: 50 * MIB + 4_000 * size)
    assert growth(cost, 0.0, MEMORY).exponent < 0.6
    assert growth(cost, 50 * MIB, MEMORY).exponent == pytest.approx(1.0)


def test_what_does_not_grow_is_flat_and_its_exponent_near_0():
    found = growth(runs(lambda _: 60 * MIB, noise=0.005), 60 * MIB, MEMORY)
    assert found.flat
    assert abs(found.exponent) < 0.02


def test_growth_within_what_is_told_from_nothing_is_flat():
    assert growth(runs(lambda size: 50 * MIB + 30 * size), 50 * MIB, MEMORY).flat
    assert not growth(runs(lambda size: 50 * MIB + 100 * size), 50 * MIB, MEMORY).flat


def test_sizes_that_do_not_show_above_the_empty_server_are_left_out():
    found = growth(runs(lambda size: 50 * MIB + 1_000 * size), 50 * MIB, MEMORY)
    assert found.sizes == 3
    assert found.exponent == pytest.approx(1.0)


def test_two_sizes_give_an_exponent_and_no_interval():
    found = growth(runs(lambda size: 8_000.0 * size, SIZES[:2], repeats=4), 0.0, MEMORY)
    assert found.exponent == pytest.approx(1.0)
    assert (found.exponent_low, found.exponent_high, found.per_item_low) == (None, None, None)


def test_one_size_gives_no_growth():
    assert growth([(1_000, 5.0), (1_000, 6.0)], 0.0, MEMORY) is None


def test_a_bend_shows_between_the_largest_sizes():
    found = growth(runs(lambda size: 20_000.0 * size + size**2), 0.0, MEMORY)
    assert found.exponent < found.last_exponent < 2.0


def test_the_slope_is_the_cost_of_an_item():
    found = growth(runs(lambda size: 50 * MIB + 4_096 * size), 50 * MIB, MEMORY)
    assert found.per_item == pytest.approx(4_096)
    assert found.last_per_item == pytest.approx(4_096)


def test_the_interval_of_a_slope_is_that_of_the_textbook():
    found = line([1.0, 2.0, 3.0], [1.0, 2.5, 3.0])  # residuals -1/6, 1/3, -1/6: s² = 1/6, Sxx = 2
    half = 12.706 * math.sqrt(1 / 6) / math.sqrt(2)
    assert found.slope == pytest.approx(1.0)
    assert found.of_slope() == pytest.approx((1 - half, 1 + half), rel=1e-3)


def test_the_quantiles_go_on_where_the_table_ends():
    xs = [float(size) for size in range(13)]
    assert line(xs[:12], xs[:12]).reach == pytest.approx(2.228)
    assert line(xs, xs).reach == pytest.approx(2.201, rel=2e-3)


@pytest.mark.parametrize("power", [0.7, 1.0, 1.5])
def test_a_projection_holds_what_comes(power):
    def cost(size):
        return 50 * MIB + 100_000 * size**power

    found, why = project(runs(cost, noise=0.01, repeats=3), 50 * MIB, MEMORY, 100_000)
    assert found.low < cost(100_000) < found.high, why
    assert found.low < found.value < found.high


def test_a_cache_beside_a_linear_cost_is_projected_by_its_largest_sizes():
    def cost(size):
        return 65 * MIB + min(size, 900) * 64_000 + 35_000 * size  # the power law through these has 0.65

    sizes = (300, 1_000, 3_000, 10_000)
    found, _ = project(runs(cost, sizes, noise=0.002), 65 * MIB, MEMORY, 1_000_000)
    assert found.value == pytest.approx(cost(1_000_000), rel=0.1)
    assert growth(runs(cost, sizes), 65 * MIB, MEMORY).bends


def test_what_no_law_fits_is_not_projected_and_says_so():
    steps = [(1_000, 100 * MIB), (3_000, 110 * MIB), (10_000, 300 * MIB), (30_000, 320 * MIB)]
    found, why = project(steps, 50 * MIB, MEMORY, 100_000)
    assert found is None
    assert "bends" in why


def test_two_sizes_give_a_projection_without_an_interval():
    found, _ = project(runs(lambda size: 8_000.0 * size, SIZES[:2]), 0.0, MEMORY, 30_000)
    assert (found.value, found.low, found.high) == (pytest.approx(8_000 * 30_000), None, None)


def series(cells, low=0.95, high=1.05, unit="bytes"):
    found = Growth(
        sizes=3,
        flat=False,
        bends=False,
        base=0.0,
        exponent=(low + high) / 2,
        exponent_low=low,
        exponent_high=high,
        last_exponent=None,
        per_item=1.0,
        per_item_low=1.0,
        per_item_high=1.0,
        last_per_item=1.0,
    )
    return {("v", "q"): SweepSeries(variant="v", quantity="q", unit=unit, cells=cells, growth=found)}


def cell(size, low, high, origin=Origin.MEASURED):
    return Cell(size=size, origin=origin, value=high, low=low, high=high, runs=1)


def claim(size, low, high, unit="bytes"):
    return Claim(quantity="q", variant="v", size=size, low=low, high=high, unit=unit)


@pytest.mark.parametrize(
    ("measured", "claimed", "verdict", "factor"),
    [
        ((90, 110), (100, 200), ClaimVerdict.CONFIRMED, None),
        ((210, 260), (100, 200), ClaimVerdict.UNDERSTATED, 1.05),
        ((40, 50), (100, 200), ClaimVerdict.OVERSTATED, 2.0),
        ((200, 200), (100, 200), ClaimVerdict.CONFIRMED, None),
    ],
)
def test_a_claim_is_judged_by_its_nearest_end(measured, claimed, verdict, factor):
    (judged,), shapes = judge_claims([claim(10, *claimed)], series((cell(10, *measured),)))
    assert (judged.verdict, judged.factor) == (verdict, factor)
    assert shapes == ()


def test_claims_that_grow_otherwise_have_the_wrong_shape_where_they_overlap():
    cells = cell(10, 100, 100), cell(100, 1_000, 1_000)
    right, (shape,) = judge_claims([claim(10, 50, 200), claim(100, 500, 2_000)], series(cells))
    assert [one.verdict for one in right] == [ClaimVerdict.CONFIRMED] * 2
    assert shape.fits is True
    wrong, (shape,) = judge_claims([claim(10, 50, 200), claim(100, 5_000, 20_000)], series(cells))
    assert [one.verdict for one in wrong] == [ClaimVerdict.WRONG_SHAPE, ClaimVerdict.OVERSTATED]
    assert shape.fits is False
    assert "size^2.00" in shape.reason


@pytest.mark.parametrize(
    ("cells", "unit", "reason"),
    [
        ((), "bytes", "was not run"),
        ((cell(10, 5, 500, Origin.PROJECTED),), "bytes", "wider than threefold"),
        ((cell(10, None, None, Origin.PROJECTED),), "bytes", "no interval"),
        ((cell(10, 5, 6),), "s", "was measured in s"),
        ((Cell(size=10, origin=Origin.MISSING, reason="it died"),), "bytes", "it died"),
    ],
)
def test_what_cannot_be_held_against_a_claim_is_not_measured_and_says_why(cells, unit, reason):
    (judged,), _ = judge_claims([claim(10, 5, 6)], series(cells, unit=unit))
    assert judged.verdict is ClaimVerdict.NOT_MEASURED
    assert reason in judged.reason


def test_a_wide_projection_can_contradict_a_claim_and_not_confirm_it():
    wide = series((cell(10, 100, 900, Origin.PROJECTED),))
    verdicts = [judge_claims([claim(10, *ends)], wide)[0][0].verdict for ends in ((20, 50), (2_000, 3_000), (500, 600))]
    assert verdicts == [ClaimVerdict.UNDERSTATED, ClaimVerdict.OVERSTATED, ClaimVerdict.NOT_MEASURED]


def test_a_quantity_that_nobody_measured_is_not_measured():
    (judged,), _ = judge_claims([claim(10, 5, 6)], {})
    assert (judged.verdict, "no run of v gave q" in judged.reason) == (ClaimVerdict.NOT_MEASURED, True)


@pytest.mark.parametrize(
    ("written", "unit", "read"),
    [
        ("500 MB", "", (500e6, "bytes")),
        ("1.2GB", "", (1.2e9, "bytes")),
        ("1_024 KiB", "", (MIB, "bytes")),
        (12, "kB", (12e3, "bytes")),
        ("20 ms", "", (0.02, "s")),
        (3, "calls", (3.0, "calls")),
        (3, "", (3.0, "")),
    ],
)
def test_amounts_are_read_as_people_write_them(written, unit, read):
    value, name = amount(written, unit, "here")
    assert (value, name) == (pytest.approx(read[0]), read[1])


@pytest.mark.parametrize("written", ["lots", "-5 MB", "", True, None, [1], "5 %"])
def test_what_is_no_amount_is_refused(written):
    with pytest.raises(UsageError, match="here must be an amount"):
        amount(written, "", "here")


def test_a_cap_is_a_share_or_bytes():
    assert share_or_bytes("60%", 1000.0, "cap") == 600.0
    assert share_or_bytes("500 B", 1000.0, "cap") == 500.0
    for wrong in ("99%", "0%", "2 kB", "3 s"):
        with pytest.raises(UsageError, match="cap"):
            share_or_bytes(wrong, 1000.0, "cap")
