"""One run: a server started in an empty folder, filled to a size, worked, left alone, and ended."""

from __future__ import annotations

import datetime as dt
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from leakcheck.credentials import Secrets
from leakcheck.drivers.ports import free_port
from leakcheck.errors import TargetError
from leakcheck.model.sweep import SWEEP_SCHEMA, Amount, Outcome, Point
from leakcheck.sweep.meter import Meter, OverCap
from leakcheck.sweep.plan import SweepPlan, Variant
from leakcheck.sweep.working import FILL, MEASURE, Worker, WorkFailed, fill_in
from leakcheck.targets.spawn import Spawned

_GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where runs are made, and of what plan."""

    plan: SweepPlan
    directory: Path
    """Logs are kept in it, and the data folders while they are needed: on disk, for /tmp may be memory."""
    secrets: Secrets


def measure(bench: Bench, variant: Variant, size: int, repeat: int) -> Point:
    """Run once. Nothing of it is left but its log, however it ends; a KeyboardInterrupt is passed on.

    `amounts` has, of each quantity, `.empty` when the server is ready, `.filled`, `.rest` after the quiet time; of
    memory also `.fill` and `.peak`, the most while it was filled and measured, and `.rise`, the peak above what was
    there when it was filled; `seconds.ready`, `.fill`, `.measure`; and what the commands wrote to {out}. A plan with
    `reopen` has the server started once more on what it stored, and read as soon as it is ready: `.reopened`.
    Raises UsageError for a command that cannot be run at all or a wrong {out}.
    Does not see: what the server would do with more clients, or after more time.
    """
    point = Point(
        schema=SWEEP_SCHEMA,
        digest=bench.plan.digest(variant),
        variant=variant.name,
        size=size,
        repeat=repeat,
        at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        outcome=Outcome.DONE,
    )
    amounts: dict[str, Amount] = {}
    with tempfile.TemporaryDirectory(dir=bench.directory, prefix="data-", ignore_cleanup_errors=True) as folder:
        try:
            _run(bench, point, variant, Path(folder), amounts)
        except OverCap as over:
            items = size if "memory.anon.filled" in amounts else over.items
            point = replace(point, outcome=Outcome.STOPPED, reason=str(over), items=items)
        except (TargetError, WorkFailed) as error:
            point = replace(point, outcome=Outcome.FAILED, reason=bench.secrets.hide(str(error)))
    return replace(point, amounts=amounts)


def _run(bench: Bench, point: Point, variant: Variant, folder: Path, amounts: dict[str, Amount]) -> None:
    (folder / "tmp").mkdir()
    (folder / "data").mkdir()

    def stages(meter: Meter, worker: Worker) -> None:
        _stages(bench.plan, point.size, meter, worker, amounts)

    def again(meter: Meter, worker: Worker) -> None:
        del worker
        _take(amounts, meter.now(), "reopened")

    amounts["seconds.ready"] = _served(bench, point, variant, folder, stages)
    if bench.plan.reopen:
        amounts["seconds.reopen"] = _served(bench, point, variant, folder, again)


def _served(
    bench: Bench, point: Point, variant: Variant, folder: Path, work: Callable[[Meter, Worker], None]
) -> Amount:
    """Start the server, do `work` when it is ready, end it; return how long it took to be ready."""
    places = _places(bench.plan, folder, point.size)
    begun = time.monotonic()
    with _target(bench, point, variant, folder, places) as target:
        meter = Meter(target, folder / "data", bench.plan.cap_bytes)
        meter.begin("the start")
        try:
            with Worker(bench.plan, variant, target, meter, places, secrets=bench.secrets) as worker:
                worker.wait_ready()
                ready = _seconds(begun)
                work(meter, worker)
        except OverCap:
            target.end(0.0)  # no grace: it would go on growing
            raise
        target.end(_GRACE_SECONDS)
    return ready


def _target(bench: Bench, point: Point, variant: Variant, folder: Path, places: Mapping[str, str]) -> Spawned:
    logs = bench.directory / "logs"
    logs.mkdir(exist_ok=True)
    own = {name: fill_in(value, places) for name, value in variant.environment.items()}
    return Spawned(
        [fill_in(word, places) for word in variant.command],
        pipes=variant.speaks_mcp,
        environment={**dict.fromkeys(("TMPDIR", "TMP", "TEMP"), str(folder / "tmp")), **own},
        cwd=bench.plan.here,
        log_path=logs / f"{variant.name}-{point.size}-{point.repeat}.log",
        secrets=bench.secrets,
        grace_seconds=_GRACE_SECONDS,
    )


def _stages(plan: SweepPlan, size: int, meter: Meter, worker: Worker, amounts: dict[str, Amount]) -> None:
    _take(amounts, meter.now(), "empty")
    meter.begin(FILL)
    begun = time.monotonic()
    amounts.update(worker.fill(size))
    if worker.fills:
        amounts["seconds.fill"] = _seconds(begun)
    _take(amounts, meter.most(), "fill")
    filled = meter.now()
    _take(amounts, filled, "filled")
    if worker.measures:
        _measure(meter, worker, filled, amounts)
    _take(amounts, meter.at_rest(plan.quiet_seconds), "rest")


def _measure(meter: Meter, worker: Worker, filled: Mapping[str, Amount], amounts: dict[str, Amount]) -> None:
    meter.begin(MEASURE)
    begun = time.monotonic()
    amounts.update(worker.measure())
    amounts["seconds.measure"] = _seconds(begun)
    most = meter.most()
    _take(amounts, most, "peak")
    for name, peak in most.items():
        amounts[f"{name}.rise"] = _above(peak, filled[name])


def _places(plan: SweepPlan, folder: Path, size: int) -> dict[str, str]:
    return {
        "port": str(free_port()),
        "data": str(folder / "data"),
        "size": str(size),
        "out": str(folder / "out.json"),
        "here": plan.here,
    }


def _take(amounts: dict[str, Amount], found: Mapping[str, Amount], moment: str) -> None:
    amounts.update({f"{name}.{moment}": amount for name, amount in found.items()})


def _above(peak: Amount, base: Amount) -> Amount:
    value, low, high = (max(0.0, one - base.value) for one in (peak.value, peak.low, peak.high))
    return Amount(value=value, low=low, high=high, unit=peak.unit)


def _seconds(begun: float) -> Amount:
    spent = time.monotonic() - begun
    return Amount(value=spent, low=spent, high=spent, unit="s")
