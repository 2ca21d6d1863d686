"""Rules on recorded series: how often each is right, with exact 95 % intervals."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from draw import HERE, BenchError
from intervals import share_interval
from series import Recorded, all_files, recorded

ANSWERS = ("leak", "clean", "undecided")
VIEWS = ("floors", "samples")
RULES = HERE / "rules"

Rule = Callable[[Recorded], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one rule said of the programs of one view."""

    leaking: Counter[str]
    """Answers about programs that leak."""
    healthy: Counter[str]

    def figures(self) -> dict[str, object]:
        """Return shares with their intervals, for a document."""
        return {
            "leaks_found": share(self.leaking["leak"], self.leaking.total()),
            "false_alarms": share(self.healthy["leak"], self.healthy.total()),
            "undecided_leaking": share(self.leaking["undecided"], self.leaking.total()),
            "undecided_healthy": share(self.healthy["undecided"], self.healthy.total()),
        }


def share(count: int, of: int) -> dict[str, object]:
    """Return a share for a document, in percent; without an interval where there was nothing."""
    if of == 0:
        return {"count": 0, "of": 0, "percent": None, "low": None, "high": None}
    found = share_interval(count, of)
    percent = {name: round(100 * value, 1) for name, value in (("low", found.low), ("high", found.high))}
    return {"count": count, "of": of, "percent": round(100 * found.value, 1), **percent}


@cache
def rule_of(path: Path) -> Rule:
    """Import a rule's file. Raises BenchError where it holds no `rule`."""
    spec = importlib.util.spec_from_file_location(f"rules.{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise BenchError(f"{path} is no Python file; a rule's file holds `def rule(series) -> str`")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Rule | None = getattr(module, "rule", None)
    if not callable(found):
        raise BenchError(f"{path} holds no function `rule`; README.md says what a rule is")
    return found


def rules() -> dict[str, Rule]:
    """Return the rules that stand here, by name."""
    return {path.stem: rule_of(path) for path in sorted(RULES.glob("*.py"))}


def viewed(every: Iterable[Recorded], view: str) -> list[Recorded]:
    """Return one view of each program that has it."""
    if view == "floors":
        return list(every)
    return [one.samples for one in every if one.samples is not None]


def score(rule: Rule, programs: Iterable[Recorded]) -> Score:
    """Ask a rule about each program. Raises BenchError where its answer is none of the three."""
    leaking: Counter[str] = Counter()
    healthy: Counter[str] = Counter()
    for program in programs:
        answer = rule(program)
        if answer not in ANSWERS:
            raise BenchError(f"a rule must say one of {', '.join(ANSWERS)}, and said {answer!r} of {program.behaviour}")
        (leaking if program.leaks else healthy)[answer] += 1
    return Score(leaking=leaking, healthy=healthy)


def score_and_print(file: Path, files: Sequence[Path]) -> None:
    """Print what a rule says of each file of series, in each view that the file has."""
    rule = rule_of(file.resolve())
    used = list(files) or all_files()
    print(f"{file.stem}: found leaks and false alarms, of how many, with the exact 95 % interval in percent")
    for path in used:
        if not path.exists():
            raise BenchError(f"{path} is missing; give files of series, or none for all that are recorded")
        every = list(recorded(path))
        for view in VIEWS:
            programs = viewed(every, view)
            if programs:
                print(f"  {path.parent.name}/{path.name}, {view}: {in_words(score(rule, programs))}")


def in_words(scored: Score) -> str:
    """Write a score in one line."""
    found = scored.figures()
    words = {"leaks_found": "found", "false_alarms": "false", "undecided_leaking": "undecided (leaking)"}
    words["undecided_healthy"] = "undecided (healthy)"
    return ", ".join(f"{words[name]} {_short(one)}" for name, one in found.items() if isinstance(one, dict))


def _short(one: dict[str, object]) -> str:
    return "none" if one["of"] == 0 else f"{one['count']}/{one['of']} ({one['low']}–{one['high']})"
