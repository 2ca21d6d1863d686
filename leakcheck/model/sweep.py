"""What a sweep saw and concluded: what a server costs against size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

SWEEP_SCHEMA = 1
"""Of sweep.json and of the files in points/. A later version may add keys; it changes none."""


class Outcome(StrEnum):
    """How one run of a server at one size ended."""

    DONE = "done"
    STOPPED = "stopped"
    """Its memory passed the cap."""
    FAILED = "failed"
    """It died, or what works it failed: `reason` says how."""


class Origin(StrEnum):
    """Where a figure comes from."""

    MEASURED = "measured"
    PROJECTED = "projected"
    """From the growth that was fitted to the smaller sizes."""
    MISSING = "missing"


class ClaimVerdict(StrEnum):
    """What was measured says of a claim; `sweep/claims.py` has the rule."""

    CONFIRMED = "confirmed"
    UNDERSTATED = "understated"
    """More was measured than claimed."""
    OVERSTATED = "overstated"
    """Less was measured than claimed."""
    WRONG_SHAPE = "wrong shape"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """One quantity of one run."""

    value: float
    low: float
    """The least and the most that it may have been: what several looks saw, or value itself."""
    high: float
    unit: str
    """`bytes`, `s`, `ms`, or a plural noun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One run: a variant, filled to a size, worked, and left alone. One file in points/."""

    schema: int
    digest: str
    """Of all in the plan that this run depends on: with another one it is measured anew."""
    variant: str
    size: int
    repeat: int
    """From 1."""
    at: str
    """ISO 8601, when it began."""
    outcome: Outcome
    reason: str = ""
    items: int | None = None
    """Stored when it was stopped, where that is known."""
    amounts: Mapping[str, Amount] = field(default_factory=dict)
    """By quantity, for example `memory.anon.peak`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One quantity of one variant at one size, over its repeats."""

    size: int
    origin: Origin
    value: float | None = None
    """The mean of the runs."""
    low: float | None = None
    """The least that any run may have been; for a projection, the end of the interval; None: no interval."""
    high: float | None = None
    runs: int = 0
    reason: str = ""
    """Why it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """How a quantity grows with size; `sweep/growth.py` has the formulas."""

    sizes: int
    """Different sizes that it is fitted to."""
    flat: bool
    """It changes too little to be told from none; the exponent is then that of the whole, the empty server included."""
    bends: bool
    """No single exponent fits all sizes; no claim is judged by its shape then."""
    base: float
    """The empty server's, which was taken off before the exponent was fitted."""
    exponent: float | None
    exponent_low: float | None
    """At 95 %; None with fewer than three sizes."""
    exponent_high: float | None
    last_exponent: float | None
    """Between the two largest sizes alone: where it differs, the growth bends."""
    per_item: float | None
    """Slope of a straight line, the unit per item."""
    per_item_low: float | None
    per_item_high: float | None
    last_per_item: float | None
    """The same between the two largest sizes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepSeries:
    """One quantity of one variant against size."""

    variant: str
    quantity: str
    unit: str
    cells: tuple[Cell, ...]
    growth: Growth | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What somebody says that a variant costs at a size."""

    quantity: str
    variant: str
    size: int
    low: float
    high: float
    unit: str
    source: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedClaim:
    """A claim beside what was measured."""

    claim: Claim
    verdict: ClaimVerdict
    factor: float | None = None
    """For understated and overstated: the ratio of the nearest ends, above 1."""
    cell: Cell | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedShape:
    """How claims of one quantity at several sizes grow, beside how it was measured to grow."""

    variant: str
    quantity: str
    claimed: float
    """Exponent through the middles of the claims."""
    measured: float | None
    low: float | None
    high: float | None
    fits: bool | None
    """None: it cannot be told."""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweptVariant:
    """A variant as it was started."""

    name: str
    command: tuple[str, ...]
    """With its placeholders, credentials removed."""
    sizes: tuple[int, ...]
    fill: str
    measure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """All of a sweep: the root of sweep.json."""

    schema: int
    version: str
    """Of leakcheck."""
    name: str
    at: str
    """ISO 8601, when it was concluded."""
    ended: str
    """`finished` or `interrupted`."""
    plan: str
    """The file."""
    environment: Mapping[str, str | int | float]
    cap_bytes: float
    repeats: int
    quiet_seconds: float
    variants: tuple[SweptVariant, ...]
    series: tuple[SweepSeries, ...]
    claims: tuple[JudgedClaim, ...]
    shapes: tuple[JudgedShape, ...]
    points: tuple[Point, ...]
