"""Figures and tables of what was audited: verdict.json, verdict.md, and what the documents quote from them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import outcomes
from draw import HALVES, BenchError
from intervals import quantile_interval
from keeping import read_lines
from scoring import VIEWS, rules, score, share, viewed
from series import ROOT, Recorded, recorded

NAME = "verdict.json"
_QUOTED = ("leaks_found", "above_stated_found", "false_alarms", "undecided_healthy", "undecided_leaking")


def write(folder: Path) -> None:
    """Write both files from what is there of each half. Raises BenchError where there is nothing."""
    lines = {half: read_lines(folder / f"{half}.jsonl") for half in HALVES}
    if not any(lines.values()):
        raise BenchError(f"{folder} holds no results: `python -P reports/verdict run {folder} report` makes them")
    document: dict[str, Any] = {half: _half(folder, half, found) for half, found in lines.items() if found}
    power = folder / "power.json"
    if power.exists():
        document["power"] = json.loads(power.read_text(encoding="utf-8"))["smallest"]
    (folder / NAME).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    (folder / "verdict.md").write_text(markdown(folder.name, document), encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = path.read_text(encoding="utf-8")
        fresh = quoted(text, f"{folder.name}/{NAME}", document)
        if fresh != text:
            path.write_text(fresh, encoding="utf-8")
    print((folder / "verdict.md").read_text(encoding="utf-8"))


def _half(folder: Path, half: str, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    series = folder / f"series-{half}.jsonl.gz"
    every = list(recorded(series)) if series.exists() else []
    return {
        "command": f"python -P reports/verdict run reports/{folder.name} {half}",
        "commit": sorted({line["commit"] for line in lines}),
        "budget": sorted({line["budget"] for line in lines}),
        "machine": sorted({line["machine"] for line in lines if "machine" in line}),
        "figures": figures(lines),
        "mechanisms": outcomes.by_mechanism(lines),
        "rules": of_rules(every),
    }


def figures(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum up the audits of one half."""
    leaking = [line for line in lines if line["leaks"]]
    healthy = [line for line in lines if not line["leaks"]]
    above = [line for line in leaking if outcomes.above_stated(line)]
    found = [line for line in leaking if outcomes.found(line)]
    return {
        "programs": len(lines),
        "mechanisms": len({line["mechanism"] for line in lines}),
        "leaks_found": share(len(found), len(leaking)),
        "above_stated_found": share(len(found), len(above)),
        "nothing_stated": share(sum(outcomes.above_stated(line) is None for line in leaking), len(leaking)),
        "own_resource_named": share(sum(map(outcomes.named, found)), len(found)),
        "operation_named": share(sum(map(outcomes.operation_named, found)), len(found)),
        "false_alarms": share(sum(map(outcomes.false_alarm, healthy)), len(healthy)),
        "wrong_resource_only": share(sum(map(outcomes.wrongly_named, leaking)), len(leaking)),
        "undecided_healthy": share(_said(healthy, "undecided"), len(healthy)),
        "undecided_leaking": share(_said(leaking, "undecided"), len(leaking)),
        "called_clean_leaking": share(_said(leaking, "clean"), len(leaking)),
        "failed": share(_said(lines, "failed"), len(lines)),
        "seconds_to_verdict": _times(line["seconds"] for line in lines if line["verdict"] != "failed"),
        "seconds_to_confirmed_leak": _times(
            line["confirmed_seconds"] for line in found if line.get("confirmed_seconds") is not None
        ),
    }


def _said(lines: Iterable[Mapping[str, Any]], answer: str) -> int:
    wanted = {answer, "not_judged"} if answer == "undecided" else {answer}
    return sum(line["verdict"] in wanted for line in lines)


def _times(seconds: Iterable[float]) -> dict[str, Any]:
    values = list(seconds)
    found: dict[str, Any] = {"n": len(values)}
    for name, at in (("median", 0.5), ("p95", 0.95)):
        one = quantile_interval(values, at)
        found[name] = None if one is None else round(one.value, 1)
        found[f"{name}_low"] = None if one is None else round(one.low, 1)
        found[f"{name}_high"] = None if one is None else round(one.high, 1)
    return found


def of_rules(every: Sequence[Recorded]) -> dict[str, Any]:
    """Score each rule on the same programs, on what its tool samples and on our floors."""
    return {
        name: {view: score(rule, programs).figures() for view in VIEWS if (programs := viewed(every, view))}
        for name, rule in rules().items()
        if every
    }


def markdown(folder: str, document: Mapping[str, Any]) -> str:
    """Write the tables that a reader wants, and lines that a document can quote."""
    parts = [f"# Verdicts on programs with known answers ({folder})\n"]
    for half in (half for half in HALVES if half in document):
        one = document[half]
        parts += [f"## The half `{half}`\n", _origin(one), _figures_table(one["figures"])]
        parts += ["### By mechanism\n", _mechanisms_table(one["mechanisms"])]
        if one["rules"]:
            parts += ["### Other rules on the same programs\n", _ABOUT_RULES, _rules_table(one)]
        parts += ["### To quote\n", "```\n" + quotable(folder, half) + "\n```\n"]
    return "\n".join(parts)


_ABOUT_RULES = (
    "Re-implementations from the sources that each file of `reports/verdict/rules/` names. Each is scored twice: on "
    "what a tool samples from outside under load, and on the floors of these audits. Count of all; exact 95 % interval "
    "in percent. leakcheck's own row counts a leak only if the right resource is accused, the others' any accusation.\n"
)


def _origin(one: Mapping[str, Any]) -> str:
    return (
        f"`{one['command']}`, programs drawn from commit {', '.join(one['commit'])}, "
        f"budget {', '.join(one['budget'])}; machine: {'; '.join(one['machine']) or 'not recorded'}. "
        "Intervals are exact 95 % intervals over programs; programs of one mechanism are alike, so intervals over "
        "mechanisms would be wider.\n"
    )


def _figures_table(found: Mapping[str, Any]) -> str:
    rows = ["| figure | value | 95 % interval |", "|---|---|---|"]
    for name, one in found.items():
        words = name.replace("_", " ")
        if not isinstance(one, dict):
            rows.append(f"| {words} | {one} | |")
        elif "count" in one:
            rows.append(f"| {words} | {one['count']} of {one['of']} ({one['percent']} %) | {_ends(one, '')} |")
        else:
            rows += [
                f"| {words}, {at} (n = {one['n']}) | {one[at]} | {_ends(one, f'{at}_')} |" for at in ("median", "p95")
            ]
    return "\n".join(rows) + "\n"


def _ends(one: Mapping[str, Any], prefix: str) -> str:
    low, high = one[f"{prefix}low"], one[f"{prefix}high"]
    return "" if low is None else f"{low} – {high}"


def _mechanisms_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    head = [
        "| mechanism | leaks | resource | kind | n | found | false | undecided | clean | failed |",
        "|---" * 10 + "|",
    ]
    columns = ("resource", "kind", "n", "found", "false", "undecided", "clean", "failed")
    body = [
        f"| {name} | {'yes' if row['leaks'] else 'no'} | " + " | ".join(str(row[column]) for column in columns) + " |"
        for name, row in rows.items()
    ]
    return "\n".join(head + body) + "\n"


def _rules_table(one: Mapping[str, Any]) -> str:
    head = ["| rule | sees | leaks found | false alarms | undecided, leaking | undecided, healthy |", "|---" * 6 + "|"]
    names = ("leaks_found", "false_alarms", "undecided_leaking", "undecided_healthy")
    body = [f"| **leakcheck** | floors | {' | '.join(_cell(one['figures'][name]) for name in names)} |"]
    for rule, views in one["rules"].items():
        body += [f"| {rule} | {view} | {' | '.join(_cell(s[name]) for name in names)} |" for view, s in views.items()]
    return "\n".join(head + body) + "\n"


def _cell(one: Mapping[str, Any]) -> str:
    return "–" if one["of"] == 0 else f"{one['count']}/{one['of']} ({one['low']}–{one['high']})"


def quotable(folder: str, half: str) -> str:
    """Return rows for a document, each number between the markers that tests/test_documents.py checks."""

    def mark(key: str) -> str:
        return f"<!--figure:{folder}/{NAME}#{half}.figures.{key}-->?<!--/figure-->"

    rows = [
        f"| {name.replace('_', ' ')} | {mark(f'{name}.count')} of {mark(f'{name}.of')} "
        f"({mark(f'{name}.low')} to {mark(f'{name}.high')} %) |"
        for name in _QUOTED
    ]
    rows += [
        f"| {name.replace('_', ' ')}, median and p95 | {mark(f'{name}.median')} s, {mark(f'{name}.p95')} s |"
        for name in ("seconds_to_verdict", "seconds_to_confirmed_leak")
    ]
    return "\n".join(rows)


def quoted(text: str, file: str, document: Mapping[str, Any]) -> str:
    """Bring what a document quotes from this file up to date; unknown keys stay as they are."""

    def value(match: re.Match[str]) -> str:
        found: object = document
        for key in match["key"].split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        return match["head"] + (match["old"] if found is None else str(found)) + match["tail"]

    head = rf"(?P<head><!--figure:{re.escape(file)}#(?P<key>\S+?)-->)"
    return re.sub(rf"{head}(?P<old>.*?)(?P<tail><!--/figure-->)", value, text)
