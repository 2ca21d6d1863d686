"""Measures what the documents quote. Resumable: an item whose file is there is not measured again.

    nox -s evidence -- reports/<date>-line            measure what is missing
    nox -s evidence -- reports/<date>-line clean-3    measure this item only

The folder's name after the date chooses what is measured: `line`, `http`, `mimo`, `cost`, `smallest`, `store` or
`load`, as the modules beside this one say. Each item is one file `<item>.json` with the command, the commit and the
machine; audits that readers may want to look at keep their `audit.json` and `report.html` beside it. `figures.json`
sums up; the documents quote from there.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import sys
from pathlib import Path

import cost
import line
import load
import mcp_http
import mimo
import smallest
import store
from measuring import where

SUBJECTS = {
    "line": line,
    "http": mcp_http,
    "mimo": mimo,
    "cost": cost,
    "smallest": smallest,
    "store": store,
    "load": load,
}


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("items", nargs="*")
    wanted = parser.parse_args()
    subject = SUBJECTS.get(wanted.folder.name.rpartition("-")[2])
    if subject is None:
        parser.error(f"{wanted.folder} must end in -{' or -'.join(SUBJECTS)}, for example reports/2026-11-22-line")
    unknown = [name for name in wanted.items if name not in subject.ITEMS]
    if unknown:
        parser.error(f"there is no item {unknown[0]}; there are {', '.join(subject.ITEMS)}")
    wanted.folder.mkdir(parents=True, exist_ok=True)
    for name, measure in subject.ITEMS.items():
        path = wanted.folder / f"{name}.json"
        if name not in wanted.items if wanted.items else path.exists():
            continue
        print(f"{dt.datetime.now():%H:%M:%S} {name}", flush=True)
        document = {"item": name, **measure(wanted.folder), **where()}
        path.write_text(json.dumps(document, indent=1) + "\n")
        print(f"  {document.get('verdict', document.get('result'))}", flush=True)
    figures = subject.figures(wanted.folder)
    (wanted.folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))
    for path in (Path("README.md"), *sorted(Path("docs").glob("*.md"))):
        path.write_text(quoted(path.read_text(), wanted.folder.name, figures))


def quoted(text: str, folder: str, figures: dict[str, object]) -> str:
    """Bring the figures that a document quotes from this folder up to date; unknown keys stay as they are."""

    def value(match: re.Match[str]) -> str:
        found: object = figures
        for key in match["key"].split("."):
            found = found.get(key) if isinstance(found, dict) else None
        return match["head"] + (match["old"] if found is None else str(found)) + match["tail"]

    head = rf"(?P<head><!--figure:{re.escape(folder)}/figures\.json#(?P<key>[\w.]+)-->)"
    return re.sub(rf"{head}(?P<old>.*?)(?P<tail><!--/figure-->)", value, text)


if __name__ == "__main__":
    sys.exit(main())
