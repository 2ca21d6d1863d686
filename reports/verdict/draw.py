"""Which mechanisms are developed on, which are reported on, and which programs a commit draws from them.

The halves are drawn once, by a seed that stands here, and written to `split.json`. A report's programs are drawn from
the hash of the commit that is measured: nobody can choose them, and anybody can draw them again.
"""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
MECHANISMS = HERE / "mechanisms"
SPLIT = HERE / "split.json"
HALVES = ("develop", "report")
HEALTHY, LEAKING = 150, 100
"""Programs that a report audits."""
_SEED = "2026-11-26 verdict"
_STATED = ("LEAKS", "HOST", "RESOURCE", "KIND", "REQUESTS", "OPERATION", "draw", "rate")


class BenchError(Exception):
    """What is wrong, and what to do about it."""


@dataclass(frozen=True, kw_only=True)
class Mechanism:
    """One file of mechanisms/: what it states of itself. Raises BenchError for a file that states too little."""

    name: str
    folder: Path

    @cached_property
    def module(self) -> ModuleType:
        """Import the file; it promises to have no side effects."""
        path = self.folder / f"{self.name}.py"
        spec = importlib.util.spec_from_file_location(f"mechanisms.{self.name}", path)
        if spec is None or spec.loader is None:
            raise BenchError(f"{path} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # where dataclasses in it look for their names
        spec.loader.exec_module(module)
        lacking = [name for name in _STATED if not hasattr(module, name)]
        if lacking:
            raise BenchError(f"{path} does not state {', '.join(lacking)}; README.md says what a mechanism states")
        return module

    @property
    def leaks(self) -> bool:
        """Whether a resource is never given back as long as the load goes on."""
        return bool(self.module.LEAKS)

    def stated(self, key: str) -> str | None:
        """Return one of its words: HOST, RESOURCE, KIND, OPERATION."""
        value = getattr(self.module, key)
        return None if value is None else str(value)

    @property
    def requests(self) -> tuple[str, ...]:
        """`METHOD PATH` or `METHOD PATH BODY`, each."""
        return tuple(map(str, self.module.REQUESTS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One mechanism with drawn parameters, and the truth about it."""

    id: str
    mechanism: str
    leaks: bool
    parameters: Mapping[str, object]
    rate: float | None
    """Pieces or bytes an operation, or a second where the mechanism names no operation; None: healthy."""


def mechanisms(folder: Path = MECHANISMS) -> dict[str, Mechanism]:
    """Return every mechanism by name."""
    names = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    return {name: Mechanism(name=name, folder=folder) for name in names}


def split(known: Mapping[str, Mechanism], before: Mapping[str, Iterable[str]] | None = None) -> dict[str, list[str]]:
    """Draw a half for each mechanism that has none yet; leaking and healthy ones are halved apart.

    What stood in a half stays there, so that a mechanism that was reported on is never developed on.
    """
    halves = {half: sorted((before or {}).get(half, ())) for half in HALVES}
    drawn = {name for names in halves.values() for name in names}
    for leaks in (True, False):
        new = sorted(name for name, one in known.items() if one.leaks is leaks and name not in drawn)
        random.Random(f"{_SEED} {leaks} {','.join(new)}").shuffle(new)
        has = {half: sum(1 for name in names if known[name].leaks is leaks) for half, names in halves.items()}
        for name in new:
            half = min(HALVES, key=has.__getitem__)
            halves[half].append(name)
            has[half] += 1
    return {half: sorted(names) for half, names in halves.items()}


def read_split(known: Mapping[str, Mechanism], path: Path = SPLIT) -> dict[str, list[str]]:
    """Return the halves. Raises BenchError unless each mechanism stands in exactly one of them."""
    if not path.exists():
        raise BenchError(f"{path} is missing: `python -P reports/verdict draw` draws it, once; then commit it")
    halves: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    if sorted(halves) != sorted(HALVES):
        raise BenchError(f"{path} must hold {' and '.join(HALVES)}, and holds {', '.join(halves)}")
    named = [name for names in halves.values() for name in names]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise BenchError(f"{path} names {', '.join(twice)} more than once; take it out of one half by hand")
    gone, new = sorted(set(named) - set(known)), sorted(set(known) - set(named))
    if gone:
        raise BenchError(
            f"{path} names {', '.join(gone)}, which is no mechanism; take it out by hand, or bring it back"
        )
    if new:
        raise BenchError(
            f"{path} lacks {', '.join(new)}: `python -P reports/verdict draw` draws a half for it; commit it"
        )
    return halves


def write_split(known: Mapping[str, Mechanism], path: Path = SPLIT) -> dict[str, list[str]]:
    """Draw halves for what has none and write the file. Raises BenchError where it names what is not there."""
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    gone = sorted({name for names in (before or {}).values() for name in names} - set(known))
    if gone:
        raise BenchError(
            f"{path} names {', '.join(gone)}, which is no mechanism; take it out by hand, or bring it back"
        )
    halves = split(known, before)
    path.write_text(json.dumps(halves, indent=1) + "\n", encoding="utf-8")
    return halves


def programs(
    half: str,
    commit: str,
    known: Mapping[str, Mechanism],
    halves: Mapping[str, Iterable[str]],
    counts: tuple[int, int] = (HEALTHY, LEAKING),
) -> list[Program]:
    """Draw programs from a commit's hash: `counts` healthy and leaking ones, mechanisms cycled evenly, mixed evenly.

    The parameters of the n-th program of a mechanism depend on commit, half, name and n alone: asking for more
    programs leaves those drawn before as they were. Raises BenchError for an unknown half or one without mechanisms.
    """
    if half not in HALVES:
        raise BenchError(f"there is no half {half!r}; there are {' and '.join(HALVES)}")
    found: list[tuple[float, Program]] = []
    for leaks, count in zip((False, True), counts, strict=True):
        names = sorted(name for name in halves[half] if known[name].leaks is leaks)
        if count and not names:
            raise BenchError(f"the half {half!r} holds no {'leaking' if leaks else 'healthy'} mechanism")
        random.Random(f"{commit} {half} {leaks}").shuffle(names)
        for index in range(count):
            name, nth = names[index % len(names)], index // len(names)
            found.append(((index + 0.5) / count, _program(known[name], f"{commit[:12]} {half} {name} {nth}")))
    found.sort(key=lambda one: (one[0], one[1].id))
    return [program for _, program in found]


def _program(mechanism: Mechanism, key: str) -> Program:
    parameters = mechanism.module.draw(random.Random(key))
    json.dumps(parameters, allow_nan=False)  # TypeError, ValueError: they are handed over as JSON
    rate: Callable[[Mapping[str, object]], float | None] = mechanism.module.rate
    true = rate(parameters)
    if (true is not None) is not mechanism.leaks or (true is not None and not true > 0):
        raise BenchError(f"mechanism {mechanism.name} states LEAKS = {mechanism.leaks} and the rate {true}")
    commit, half, name, nth = key.split(" ")
    return Program(
        id=f"{commit}-{half}-{name}-{nth}", mechanism=name, leaks=mechanism.leaks, parameters=parameters, rate=true
    )
