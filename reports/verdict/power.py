"""The smallest leak that leakcheck's own rules find, against operations: leaks planted on recorded healthy floors.

Semi-synthetic: the floors are those of real servers, the leak is added to them by arithmetic. A planted leak neither
reuses memory that an allocator kept, nor changes how the server behaves; a real one may do both. And it is the power of
the rule for one resource alone: an audit also asks that the leak shows again in fresh rounds and stays without load.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
from draw import BenchError
from intervals import share_interval
from series import OLDER, Recorded, recorded

from leakcheck.detect.counts import BY_CHANCE, judge_count
from leakcheck.detect.levels import judge_level
from leakcheck.model.finding import Verdict
from leakcheck.model.reading import Resource, Statistic
from leakcheck.model.series import Series

PER_SECOND = 200
HORIZONS = (60, 300)
"""Seconds."""
WANTED = 0.95
_BACKGROUNDS, _DRAWS = 16, 2
"""Healthy programs for each resource at most, and leaks planted on each."""
_MOST_FLOORS = 72
"""In one series: more are thinned, their operations added up."""
_FEWEST_FLOORS = 24
_ENOUGH = 3
"""Rates in a row that were always found: then larger ones are, too."""
_LEVELS = frozenset({"bytes", "blocks"})
"""Units that the rule for levels judges."""
_COUNTS = tuple(1 / per for per in (20_000, 10_000, 5000, 2000, 1000, 500, 200, 100, 50, 20, 10))
_BLOCKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_BYTES = tuple(float(2**power) for power in range(2, 16))
_PIECE_BYTES = {"heap.malloc": 64.0, "memory.anon": 4096.0}
"""What a leak of bytes comes in: small allocations, pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Background:
    """One resource of one healthy program over a horizon: floors, and operations of each kind in between."""

    program: str
    resource: Resource
    judged: int
    """Resources that were judged beside it, and it: an audit divides the chance of being wrong among them."""
    values: tuple[float, ...]
    operations: tuple[tuple[int, ...], ...]
    seconds: tuple[float, ...]


def write(folder: Path) -> None:
    """Write power.json and power.md. Raises BenchError where no healthy floors are recorded."""
    path = folder / "series-develop.jsonl.gz"
    files = [path] if path.exists() else list(OLDER)
    healthy = [one for file in files for one in recorded(file) if not one.leaks]
    if not healthy:
        raise BenchError(f"{path} holds no healthy program; audit the half `develop` first")
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row for name in _resources(healthy) for horizon in HORIZONS for row in _curve(healthy, name, horizon)]
    document = {
        "about": __doc__,
        "command": f"python -P reports/verdict power reports/{folder.name}",
        "backgrounds": [file.name for file in files],
        "operations_per_second": PER_SECOND,
        "smallest": smallest(rows),
        "curve": rows,
    }
    (folder / "power.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    text = markdown(folder.name, document, rows)
    (folder / "power.md").write_text(text, encoding="utf-8")
    print(text)


def _resources(healthy: Sequence[Recorded]) -> list[str]:
    """Return resources that enough programs have; registries, which each program names otherwise, are left out."""
    seen: dict[str, int] = defaultdict(int)
    for one in healthy:
        for name in one.values:
            seen[name] += 1
    return sorted(name for name, count in seen.items() if count >= len(healthy) / 2 and "registry." not in name)


def _curve(healthy: Sequence[Recorded], name: str, horizon: int) -> list[dict[str, object]]:
    """Return the power at each rate. Backgrounds that are called a leak without a planted one are left out."""
    print(f"{name} over {horizon} s …", file=sys.stderr, flush=True)
    every = [one for program in healthy if (one := background(program, name, horizon)) is not None]
    accused_before = [accused(one) for one in every]
    quiet = [one for one, before in zip(every, accused_before, strict=True) if not before][:_BACKGROUNDS]
    rows: list[dict[str, object]] = []
    for rate in _rates(quiet[0].resource) if quiet else ():
        found = [accused(planted(one, rate, draw)) for one in quiet for draw in range(_DRAWS)]
        seen = share_interval(sum(found), len(found))
        rows.append(
            {
                "resource": name,
                "unit": quiet[0].resource.unit,
                "seconds": horizon,
                "operations": horizon * PER_SECOND,
                "rate": rate,
                "power": round(seen.value, 3),
                "low": round(seen.low, 3),
                "high": round(seen.high, 3),
                "n": len(found),
                "backgrounds": len(quiet),
                "left_out": sum(accused_before),
            }
        )
        if [row["power"] for row in rows[-_ENOUGH:]] == [1.0] * _ENOUGH:
            break
    return rows


def _rates(resource: Resource) -> tuple[float, ...]:
    if resource.statistic is Statistic.COUNT:
        return _COUNTS
    return _BYTES if resource.unit == "bytes" else _BLOCKS


def background(program: Recorded, name: str, horizon: int) -> Background | None:
    """Fit one resource of a program to a horizon; None where it has too few floors, or nothing was played.

    A run that is longer is cut; one that is shorter goes on with its mirror image, and again: levels and their
    autocorrelation stay, and nothing grows that did not. Operations are scaled to PER_SECOND.
    """
    count = len(program.seconds)
    if name not in program.values or count < 2:
        return None
    path, spent = [0], [0.0]
    step = 1
    while spent[-1] < horizon:
        if not 0 <= path[-1] + step < count:
            step = -step
        path.append(path[-1] + step)
        spent.append(spent[-1] + abs(program.seconds[path[-1]] - program.seconds[path[-2]]))
    played = np.array(list(program.played.values()), dtype=float).T
    between = np.array([played[max(pair)] for pair in pairwise(path)])  # there and back costs the same
    running = np.vstack([np.zeros(played.shape[1]), between.cumsum(axis=0)])
    kept = np.unique(np.linspace(0, len(path) - 1, min(len(path), _MOST_FLOORS)).round().astype(int))
    if running[-1].sum() <= 0 or len(kept) < _FEWEST_FLOORS:
        return None
    running *= horizon * PER_SECOND / running[-1].sum()
    rows = np.diff(running[kept].round(), axis=0, prepend=np.zeros((1, played.shape[1]))).astype(int)
    unit = program.units[name]
    return Background(
        program=program.behaviour,
        judged=len(program.values),
        resource=Resource(
            name=name,
            unit=unit,
            statistic=Statistic.LEVEL if unit in _LEVELS else Statistic.COUNT,
            per_process=True,
        ),
        values=tuple(program.array(name)[np.array(path)[kept]].tolist()),
        operations=tuple(tuple(row) for row in rows.tolist()),
        seconds=tuple(np.array(spent)[kept].tolist()),
    )


def planted(one: Background, rate: float, draw: int) -> Background:
    """Add a leak: so much on average for each operation of one kind, the pieces drawn by Poisson's law."""
    seed = hashlib.sha256(f"{one.program} {one.resource.name} {len(one.values)} {draw}".encode()).digest()
    random = np.random.default_rng(int.from_bytes(seed[:8]))
    totals = np.sum(one.operations, axis=0)
    kinds = np.flatnonzero(totals > 0)
    kind = int(kinds[draw % len(kinds)])
    piece = _PIECE_BYTES.get(one.resource.name, 64.0) if one.resource.unit == "bytes" else 1.0
    leaked = [piece * random.poisson(rate * row[kind] / piece) for row in one.operations]
    values = tuple(value + more for value, more in zip(one.values, accumulate(leaked), strict=True))
    return replace(one, values=values)


def accused(one: Background) -> bool:
    """Ask leakcheck's own rule."""
    series = Series(
        resource=one.resource,
        values=one.values,
        totals=one.values,
        operations=one.operations,
        kinds=tuple(f"kind {number}" for number in range(len(one.operations[0]))),
        seconds=one.seconds,
    )
    judge = judge_level if one.resource.statistic is Statistic.LEVEL else judge_count
    return judge(series, 0, by_chance=BY_CHANCE / one.judged).verdict is Verdict.LEAK


def smallest(rows: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Return, for each resource and horizon, the least rate from which on the power is always enough; None: none."""
    found: dict[tuple[object, object], list[Mapping[str, object]]] = defaultdict(list)
    for row in rows:
        found[row["resource"], row["seconds"]].append(row)
    best: list[dict[str, object]] = []
    for every in found.values():
        weak = [index for index, row in enumerate(every) if float(str(row["power"])) < WANTED]
        at = weak[-1] + 1 if weak else 0
        row = every[min(at, len(every) - 1)]
        shared = {
            key: row[key] for key in ("resource", "unit", "seconds", "operations", "n", "backgrounds", "left_out")
        }
        reached = at < len(every)
        keys = ("rate", "power", "low", "high")
        best.append({**shared, **{key: row[key] if reached else None for key in keys}})
    return best


def markdown(folder: str, document: Mapping[str, object], rows: Sequence[Mapping[str, object]]) -> str:
    """Write the table of the smallest leaks, and the curves behind it."""
    about = (
        f"`{document['command']}`, on the healthy programs of {', '.join(map(str, _listed(document['backgrounds'])))}, "
        f"scaled to {PER_SECOND} operations a second of all kinds together. A rate is per operation of the one kind "
        "that leaks. Each power is a share of leaks planted (n), with its exact 95 % interval; backgrounds that were "
        "accused without a leak are left out.\n"
    )
    head = [
        f"# The smallest leak found with {WANTED:.0%} power ({folder})\n",
        " ".join(str(document["about"]).split()) + "\n",
        about,
        "| resource | operations | seconds | smallest rate | power (95 % interval) | n | backgrounds left out |",
        "|---" * 7 + "|",
    ]
    for row in smallest(rows):
        rate = f"{_in_words(row)}" if row["rate"] is not None else "none that was tried"
        power = f"{row['power']} ({row['low']}–{row['high']})" if row["rate"] is not None else "–"
        head.append(
            f"| {row['resource']} | {row['operations']:,} | {row['seconds']} | {rate} | {power} | {row['n']} | "
            f"{row['left_out']} |"
        )
    head += ["\n## Curves\n", "| resource | seconds | power by rate |", "|---|---|---|"]
    curves: dict[tuple[object, object], list[str]] = defaultdict(list)
    for row in rows:
        curves[row["resource"], row["seconds"]].append(f"{_in_words(row)}: {row['power']}")
    head += [f"| {name} | {seconds} | {'; '.join(points)} |" for (name, seconds), points in curves.items()]
    return "\n".join(head) + "\n"


def _in_words(row: Mapping[str, object]) -> str:
    rate, unit = float(str(row["rate"])), row["unit"]
    if unit == "bytes" or rate >= 1:
        return f"{rate:g} {unit} an operation"
    return f"1 per {1 / rate:,.0f} operations"


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
