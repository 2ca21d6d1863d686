"""The audit's tables, line by line, beside what was measured: tables.json, tables.md, tables.html.

    nox -s tables                                  measure what is missing, then write all of it
    python -P reports/tables reports/<date>-10k-to-1m

The figures of memory come from the sweep beside (sweep.json), those of the issues from the audits that issues.toml
names, those of embeddings are measured here. With no sweep beside, there are no tables of memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import jinja2
from embeddings import KINDS, measured
from memory import memory
from said import of_defect, of_profile

import leakcheck

PLAN = Path(__file__).parent / "issues.toml"
CLAIMED_JSON_BYTES = 12_000
"""The audit: "~12KB as JSON text"."""
_CSS = Path(leakcheck.__file__).parent / "render" / "templates" / "report.css"


def main() -> None:
    """Write the tables into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "embeddings.json"
    if not kept.exists():
        kept.write_text(json.dumps(measured(), indent=1) + "\n")
    sweep = folder / "sweep.json"
    document = {
        "commit": _commit(),
        "memory": memory(sweep) if sweep.exists() else None,
        "issues": issues(),
        "embeddings": json.loads(kept.read_text()),
    }
    (folder / "tables.json").write_text(json.dumps(document, indent=1) + "\n")
    (folder / "tables.md").write_text(markdown(document))
    (folder / "tables.html").write_text(html(document))
    (folder / "figures.json").write_text(json.dumps(figures(folder, document), indent=1) + "\n")


def _commit() -> str:
    """The tables' own; the sweep and the audits may be of earlier ones."""
    asked = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=PLAN.parent)
    return asked.stdout.strip() or "unknown"


def issues() -> list[dict[str, Any]]:
    """Each issue with what was said of its defects, and of the correct server."""
    plan = tomllib.loads(PLAN.read_text())
    evidence = PLAN.parent.parent.parent / plan["evidence"]
    found = []
    for issue in plan["issues"]:
        defects = dict.fromkeys((*issue["current"], *issue["faithful"]))
        found.append(
            {
                **{name: issue[name] for name in ("number", "title", "claim", "verdict", "why")},
                "evidence": plan["evidence"],
                "current": [of_defect(evidence, name) for name in issue["current"]],
                "faithful": [of_defect(evidence, name) for name in issue["faithful"]],
                "fixed": of_profile(evidence, defects),
            }
        )
    return found


def figures(folder: Path, document: dict[str, Any]) -> dict[str, Any]:
    """What the documents quote: embeddings, and of a sweep beside it what was claimed and what was measured."""
    found: dict[str, Any] = {"embeddings": document["embeddings"]["rows"]}
    for name in ("confirmed", "partly", "wrong"):
        found[name] = sum(one["verdict"] == name for one in document["issues"])
    if (path := folder / "sweep.json").exists():
        for one in json.loads(path.read_text())["claims"]:
            claim, cell = one["claim"], one["cell"]
            row = {"verdict": one["verdict"], "factor": _digits(one["factor"])}
            if cell and cell["value"] is not None:
                row |= {"mb": _digits(cell["value"] / 1e6), "origin": cell["origin"]}
                row |= {"low_mb": _digits((cell["low"] or 0) / 1e6), "high_mb": _digits((cell["high"] or 0) / 1e6)}
            key = claim["quantity"].replace(".", "_")
            found.setdefault(claim["variant"], {}).setdefault(key, {})[str(claim["size"])] = row
    return found


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def markdown(document: dict[str, Any]) -> str:
    """For readers on a code host."""
    lines = [
        "# The audit's tables, measured",
        "",
        "`current` is what the audit says of the code, `faithful` what the code did, `fixed` the reference server",
        "without faults. ~ marks a projection from the sizes that were measured, with its interval at 95 %.",
    ]
    if document["memory"]:
        lines += _memory_lines(document["memory"])
    lines += [
        "",
        "## The eight issues, and the supervision tree",
        "",
        "Each defect was switched on in the reference server and audited, and so was the server without it.",
        "",
        "| issue | the audit | measured in `current` | measured in `faithful` | in `fixed` | the claim is |",
        "|---|---|---|---|---|---|",
    ]
    for one in document["issues"]:
        cells = (
            f"{one['number']} {one['title']}",
            one["claim"],
            _cell(one["current"]),
            _cell(one["faithful"]),
            one["fixed"],
            f"**{one['verdict']}**: {one['why']}",
        )
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    stored = document["embeddings"]
    lines += [
        "",
        "## Embedding storage",
        "",
        f"Bytes of one embedding of {stored['dimensions']} dimensions, and recall@10 against float64 among",
        f"{stored['vectors']:,} hard vectors, {stored['queries']} queries. The audit says {CLAIMED_JSON_BYTES:,} as",
        "JSON text.",
        "",
        "| kept as | bytes | a million, GB | recall@10 |",
        "|---|---|---|---|",
    ]
    for kind, row in stored["rows"].items():
        lines.append(f"| {KINDS[kind]} | {row['bytes']:,.0f} | {row['bytes'] / 1000:.2f} | {row['recall_at_10']:.4f} |")
    lines += ["", f"Made by `nox -s tables` at {document['commit'][:12]}; it goes on where it was ended."]
    return "\n".join(lines) + "\n"


def _memory_lines(memory: dict[str, Any]) -> list[str]:
    lines = ["", "## Memory usage", "", "Anonymous memory of the process tree at its highest, while it searches.", ""]
    lines += _table(memory["whole"])
    lines += ["", *(f"- {one}" for one in memory["stopped"])]
    lines += ["", "## Primary consumers", "", *_table(memory["consumers"])]
    lines += ["", "## Improvements", "", *_table(memory["improvements"])]
    all_of_it = "All quantities, sizes, exponents and each claim's verdict: [sweep.md](sweep.md)."
    return [
        *lines,
        "",
        f"{all_of_it} Measured {memory['machine']}; {memory['hours']} hours of it without the runs that were stopped.",
    ]


def _table(table: dict[str, Any]) -> list[str]:
    rows = [table["head"], ["---"] * len(table["head"]), *table["rows"]]
    return [f"| {' | '.join(row)} |" for row in rows]


def _cell(defects: list[dict[str, str]]) -> str:
    return "<br>".join(f"[`{one['defect']}`]({one['link']}): {one['said']}" for one in defects) or "–"


def html(document: dict[str, Any]) -> str:
    """One page, no script, nothing loaded."""
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    template = environment.get_template("tables.html.jinja")
    return template.render(**document, kinds=KINDS, css=_CSS.read_text(), claimed=CLAIMED_JSON_BYTES)


if __name__ == "__main__":
    sys.exit(main())
