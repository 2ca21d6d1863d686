"""What was concluded of one resource."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The four answers."""

    LEAK = "leak"
    CLEAN = "clean"
    UNDECIDED = "undecided"
    NOT_JUDGED = "not_judged"


class Shape(StrEnum):
    """What the curve is."""

    SLOPE = "slope"
    STEP = "step"
    PLATEAU = "plateau"
    FILLING = "filling"
    SAWTOOTH = "sawtooth"
    PEAK = "peak"
    STORED = "stored"
    TIME_DRIVEN = "time_driven"
    FLAT = "flat"


class Per(StrEnum):
    """What a rate is counted by."""

    OPERATION = "operation"
    SECOND = "second"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """Growth with its 95 % interval."""

    value: float
    low: float
    high: float
    unit: str
    per: Per


@dataclass(frozen=True, slots=True, kw_only=True)
class Detectable:
    """The smallest rate that this run would have seen with 95 % power."""

    value: float
    unit: str
    per: Per


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """When the limit is hit if the load goes on as observed."""

    limit: str
    """The limit's name, for example `RLIMIT_NOFILE`."""
    limit_value: float
    now: float
    operations_low: float | None
    """Operations left, low and high end of the interval; None where the rate is per second."""
    operations_high: float | None
    hours_low: float
    hours_high: float | None
    """None: the interval is open, the rate may be as low as zero."""
    sentence: str
    """For example `EMFILE in 9–11 h at 20 calls/s, limit 1024`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """A holder blamed, with what speaks against it."""

    holder: str
    proof: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The verdict on one resource: clean ones are findings too."""

    resource: str
    title: str
    unit: str
    verdict: Verdict
    shape: Shape | None
    operation: str | None
    """`call:<tool>`, `call` (all tools alike), `session`, `abandon`, `reject`, `disconnect`, `cancel`,
    `request:<METHOD path>`, or None."""
    rate: Rate | None
    detectable: Detectable | None
    forecast: Forecast | None
    evidence: str
    """One sentence."""
    suspects: tuple[Suspect, ...]
    fingerprint: str
    """Stable between runs: target name + resource + operation, hashed."""
    needs: str = ""
    """What would decide it, where it is undecided: `12 more rounds, or --budget 4m`."""
    confirmed_seconds: float | None = None
    """When a leak was confirmed on fresh rounds, in seconds since the target was ready; None where it was not."""
