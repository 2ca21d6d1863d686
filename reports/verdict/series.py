"""Recorded series for anybody's rule: what was read of a program over time, and whether it leaks.

    from series import Recorded

    def rule(series: Recorded) -> str:
        \"\"\"Say "leak", "clean" or "undecided" of one program.\"\"\"

A rule gets one view of a program: its floors (read after load, settling and, in a Python program, a collection; the
audit's warm-up taken away), or what a tool that watches from outside reads once a second under load. Both have the
same names; README.md lists them.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from draw import BenchError
from keeping import read_series
from numpy.typing import NDArray

ROOT = Path(__file__).parents[2]
OLDER = tuple(ROOT / "tests" / "recorded" / f"{run}.jsonl.gz" for run in ("r2", "r3"))
"""Floors of 48 servers each, recorded before this bench was built."""
_WARM = frozenset({"pilot", "warm_up"})
_JUDGED = _WARM | {"main", "quiet"}
_LOADED = _JUDGED | {"confirm"}
_OLDER_NAMES = {
    "anon": ("memory.anon", "bytes", 1024.0),
    "fd": ("fds.all", "descriptors", 1.0),
    "nthr": ("threads", "threads", 1.0),
    "child": ("processes", "processes", 1.0),
    "zomb": ("zombies", "zombies", 1.0),
    "tmp": ("files.temporary", "files", 1.0),
    "tasks": ("tasks", "tasks", 1.0),
}
_SAMPLED = {
    "rss": ("memory.rss", "bytes"),
    "fds": ("fds", "descriptors"),
    "threads": ("threads", "threads"),
    "processes": ("processes", "processes"),
    "zombies": ("zombies", "zombies"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One program: N readings of each resource, at N times."""

    behaviour: str
    """What the program does; a rule must not look at it, nor at `leaks`."""
    leaks: bool
    seconds: tuple[float, ...]
    """N times, since the program was ready."""
    operations: tuple[float, ...]
    """N running totals of operations, of all kinds."""
    values: Mapping[str, tuple[float, ...]]
    """By resource; N values each."""
    units: Mapping[str, str]
    """By resource: `bytes`, or the plural of a piece."""
    samples: Recorded | None = None
    """The same program as watched from outside, once a second under load; None: not recorded, or this is that view."""
    played: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """By kind of operation: N counts since the reading before; empty in `samples`."""

    def array(self, name: str) -> NDArray[np.float64]:
        """Return one resource's values."""
        return np.array(self.values[name], dtype=float)

    @property
    def minutes(self) -> NDArray[np.float64]:
        """N times in minutes."""
        return np.array(self.seconds, dtype=float) / 60

    def memory(self) -> NDArray[np.float64] | None:
        """Return the memory as a tool reads it: RSS under load, anonymous memory at floors; None where not read."""
        name = next((name for name in ("memory.rss", "memory.anon") if name in self.values), None)
        return None if name is None else self.array(name)

    def descriptors(self) -> NDArray[np.float64] | None:
        """Return all open descriptors together; None where not read."""
        parts = [self.array(name) for name in self.values if name == "fds" or name.startswith("fds.")]
        return np.sum(parts, axis=0, dtype=float) if parts else None

    def grew_enough(self, name: str) -> bool:
        """Whether a rise is worth a word: 3 pieces, or 512 bytes (8 blocks) per 1,000 operations and 64 KiB.

        The same for every rule that has no such floor of its own.
        """
        values, unit = self.values[name], self.units[name]
        rise, thousands = values[-1] - values[0], max(self.operations[-1] - self.operations[0], 1.0) / 1000
        if unit == "bytes":
            return rise >= max(512 * thousands, 65536)
        return rise >= (max(8 * thousands, 3) if unit == "blocks" else 3)


def recorded(path: Path) -> Iterator[Recorded]:
    """Read a file of series: this bench's own, or an older one that begins with a line `meta`.

    Raises BenchError for anything else.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            head = json.loads(file.readline())
    except (OSError, EOFError, ValueError) as error:
        raise BenchError(f"{path} is no file of series ({error})") from error
    if "meta" in head:
        yield from _older(path)
    elif {"id", "resources", "samples"} <= head.keys():
        by_id = {line["id"]: line for line in read_series(path)}  # the last one counts: a kill may have left two
        yield from map(of_audit, by_id.values())
    else:
        raise BenchError(f"{path} is no file of series: its first line holds {', '.join(head)}")


def of_audit(one: Mapping[str, Any]) -> Recorded:
    """Read one line of this bench: judged floors of judged resources, and the samples while there was load."""
    phases, seconds = one["phases"], one["seconds"]
    end = next((index for index, phase in enumerate(phases) if phase not in _JUDGED), len(phases))
    loaded = next((index for index, phase in enumerate(phases) if phase not in _LOADED), len(phases))
    main = next((index for index, phase in enumerate(phases) if phase not in _WARM), end)
    first = max(0, min(main, end) - 1)
    total = tuple(map(float, accumulate(sum(row) for row in one["operations"])))
    judged = {name: of for name, of in one["resources"].items() if of["judged"]}
    floors = seconds[first:end]
    return Recorded(
        behaviour=one["mechanism"],
        leaks=one["leaks"],
        seconds=tuple(floors),
        operations=total[first:end],
        values={name: tuple(map(float, of["values"][first:end])) for name, of in judged.items()},
        units={name: of["unit"] for name, of in judged.items()},
        samples=_samples(one, (floors[0], seconds[loaded - 1]), (seconds, total)) if floors else None,
        played={
            kind: tuple(row[column] for row in one["operations"][first:end]) for column, kind in enumerate(one["kinds"])
        },
    )


def _samples(
    one: Mapping[str, Any], span: tuple[float, float], played: tuple[list[float], tuple[float, ...]]
) -> Recorded | None:
    columns = one["samples"]
    used = [index for index, at in enumerate(columns["seconds"]) if span[0] <= at <= span[1]]
    if not used:
        return None
    seconds = tuple(float(columns["seconds"][index]) for index in used)
    return Recorded(
        behaviour=one["mechanism"],
        leaks=one["leaks"],
        seconds=seconds,
        operations=tuple(map(float, np.interp(seconds, *played))),
        values={name: tuple(float(columns[key][index]) for index in used) for key, (name, _) in _SAMPLED.items()},
        units=dict(_SAMPLED.values()),
    )


def _older(path: Path) -> Iterator[Recorded]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        meta = json.loads(file.readline())["meta"]
        floors: dict[int, list[dict[str, float]]] = defaultdict(list)
        for text in file:
            line = json.loads(text)
            if line.get("k", "F") == "F":
                floors[line["i"]].append(line)
    for index, (behaviour, leaks) in enumerate(meta):
        mine = floors[index]
        mine = mine[len(mine) // 3 :]  # the warm-up, as the runs were judged when they were recorded
        operations = tuple(float(floor["ops"]) for floor in mine)
        yield Recorded(
            behaviour=behaviour,
            leaks=leaks,
            seconds=tuple(floor["t"] for floor in mine),
            operations=operations,
            values={
                name: tuple(factor * floor[key] for floor in mine) for key, (name, _, factor) in _OLDER_NAMES.items()
            },
            units={name: unit for name, unit, _ in _OLDER_NAMES.values()},
            played={"request:GET /": tuple(map(int, np.diff(operations, prepend=operations[0])))},
        )


def all_files() -> list[Path]:
    """Return every file of series in the repository."""
    return [*OLDER, *sorted((ROOT / "reports").glob("*-verdict/series-*.jsonl.gz"))]
