"""Claims beside what was measured: one stated rule, pure functions of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from leakcheck.model.sweep import (
    Cell,
    Claim,
    ClaimVerdict,
    JudgedClaim,
    JudgedShape,
    Origin,
    SweepSeries,
)
from leakcheck.sweep.growth import line

SHAPE_TOLERANCE = 0.2
"""An exponent that is claimed may lie so far outside of the interval: claims are round numbers."""
WIDEST_PROJECTION = 3.0
"""A projection whose ends lie further apart than this confirms no claim."""

Key = tuple[str, str]
"""Variant and quantity."""


def judge_claims(
    claims: Sequence[Claim], series: Mapping[Key, SweepSeries]
) -> tuple[tuple[JudgedClaim, ...], tuple[JudgedShape, ...]]:
    """Judge each claim, and the shape of those that speak of one quantity at several sizes.

    - *not measured*: there is no figure at that size, or a projection without an interval, or one that overlaps and is
      wider than threefold: so wide an interval can contradict a claim, and cannot confirm it;
    - *understated* by the ratio of the nearest ends, when the measured interval lies above the claimed one;
      *overstated* when it lies below;
    - *wrong shape*: they overlap here, but the claims of this quantity grow with an exponent that lies outside of the
      measured exponent's interval by more than 0.2; not told where the measured growth bends;
    - *confirmed*: they overlap, and the shape is right or cannot be told.

    Does not see: whether quantity and variant are what the claim meant; who writes the plan says so.
    """
    shapes = {(one.variant, one.quantity): one for one in _shapes(claims, series)}
    judged = tuple(
        _judged(claim, series.get((claim.variant, claim.quantity)), shapes.get((claim.variant, claim.quantity)))
        for claim in claims
    )
    return judged, tuple(shapes.values())


def _judged(claim: Claim, series: SweepSeries | None, shape: JudgedShape | None) -> JudgedClaim:
    cell, why = _cell(claim, series)
    if why or cell is None or cell.low is None or cell.high is None:
        return JudgedClaim(claim=claim, verdict=ClaimVerdict.NOT_MEASURED, cell=cell, reason=why)
    if cell.low > claim.high:
        return JudgedClaim(claim=claim, verdict=ClaimVerdict.UNDERSTATED, factor=cell.low / claim.high, cell=cell)
    if cell.high < claim.low:
        if cell.high <= 0:
            return JudgedClaim(claim=claim, verdict=ClaimVerdict.OVERSTATED, cell=cell, reason="nothing was measured")
        return JudgedClaim(claim=claim, verdict=ClaimVerdict.OVERSTATED, factor=claim.low / cell.high, cell=cell)
    if cell.origin is Origin.PROJECTED and cell.high > WIDEST_PROJECTION * cell.low:
        why = "the projection's interval is wider than threefold; measure larger sizes"
        return JudgedClaim(claim=claim, verdict=ClaimVerdict.NOT_MEASURED, cell=cell, reason=why)
    if shape is not None and shape.fits is False:
        return JudgedClaim(claim=claim, verdict=ClaimVerdict.WRONG_SHAPE, cell=cell, reason=shape.reason)
    return JudgedClaim(claim=claim, verdict=ClaimVerdict.CONFIRMED, cell=cell)


def _cell(claim: Claim, series: SweepSeries | None) -> tuple[Cell | None, str]:
    """Return the figure at the claim's size, and why it cannot be held against it; an empty text where it can."""
    if series is None:
        return None, f"no run of {claim.variant} gave {claim.quantity}"
    if series.unit != claim.unit:
        return None, f"it is claimed in {claim.unit} and was measured in {series.unit}"
    cell = next((one for one in series.cells if one.size == claim.size), None)
    if cell is None or cell.origin is Origin.MISSING:
        return None, cell.reason if cell and cell.reason else "this size was not run"
    if cell.low is None or cell.high is None:
        return cell, "projected from two sizes only, which gives no interval"
    return cell, ""


def _shapes(claims: Sequence[Claim], series: Mapping[Key, SweepSeries]) -> Iterable[JudgedShape]:
    """Judge how claims of one quantity at several sizes grow: least squares through their middles on log–log.

    The middle of low..high is √(low·high). Does not see: a fixed part in the claims; where most of a claim is one,
    its exponent is below that of what is measured above the empty server.
    """
    groups: dict[Key, list[Claim]] = {}
    for claim in claims:
        groups.setdefault((claim.variant, claim.quantity), []).append(claim)
    for key, group in groups.items():
        fitted = line(
            [math.log(one.size) for one in group], [(math.log(one.low) + math.log(one.high)) / 2 for one in group]
        )
        if fitted is not None:
            yield _shape(key, round(fitted.slope, 9) + 0.0, series.get(key))


def _shape(key: Key, claimed: float, series: SweepSeries | None) -> JudgedShape:
    found = series.growth if series is not None else None
    exponent = found.exponent if found else None
    low, high = (found.exponent_low, found.exponent_high) if found else (None, None)
    fits, reason = None, "its growth was not measured"
    if exponent is not None:
        reason = f"two sizes give an exponent of {exponent:.2f} and no interval"
    if found is not None and found.bends:
        reason = f"claimed as size^{claimed:.2f}; the measured growth bends, and has no single exponent"
    elif low is not None and high is not None:
        fits = low - SHAPE_TOLERANCE <= claimed <= high + SHAPE_TOLERANCE
        verb = "fits" if fits else "does not fit"
        reason = f"claimed as size^{claimed:.2f}, which {verb} the measured {low:.2f} to {high:.2f}"
    return JudgedShape(
        variant=key[0],
        quantity=key[1],
        claimed=claimed,
        measured=exponent,
        low=low,
        high=high,
        fits=fits,
        reason=reason,
    )
