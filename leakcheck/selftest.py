"""`leakcheck selftest`: plants leaks of known size on this machine, and shows what is found of them, and how fast."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from rich.table import Table
from rich.text import Text

from leakcheck.errors import TargetError, UsageError
from leakcheck.interruption import Interruptible
from leakcheck.model.audit import Audit
from leakcheck.model.finding import Finding, Verdict
from leakcheck.render import figures
from leakcheck.render.json import FILE
from leakcheck.render.terminal import PatientConsole, open_console, print_plain
from leakcheck.store import read_audit

HELP = """Plant leaks of known size on this machine, and show what is found, and how fast.

\b
  leakcheck selftest
  leakcheck selftest --only descriptor --only clean

\b
A small HTTP server is audited once for each leak, as any server would be, for
20 s each: a descriptor, an entry of a registry, 256 bytes of heap for each
request; a child that nobody waits for and a thread for each 50. Another
request of it leaks nothing and must not be accused. Then it is audited
without any leak (clean), and nothing may be accused.

\b
Exit codes: 0 all found and nothing else accused, 1 something was missed or
accused wrongly, 2 wrong usage, 130 interrupted.
"""
"""For the command line."""
ONLY_HELP = "Plant this alone: descriptor, registry, heap, child, thread, clean. Again: one more."

BUDGET = "20s"
_PLANTED = str(Path(__file__).with_name("planted.py"))
_CLEAN = "GET http://127.0.0.1:{port}/clean"
_LEAKY = "GET http://127.0.0.1:{port}/leak"
_OPERATION = "request:GET /leak"
_INTERRUPTED = 130
_GRACE_SECONDS = 30.0
"""For an audit that was told to end: its own grace, and its reports."""
_MEMORY = ("memory.", "heap.", "registry.")
_OFF = 1.5
"""A measured rate may be this factor from the planted one; beside counts, memory has the room that allocators take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """One leak of known size."""

    name: str
    rates: dict[str, float]
    """Resource in which it shows to what is planted for each request; the ones that say most come first."""


PLANTS = (
    Plant(name="descriptor", rates={"fds.file": 1.0}),
    Plant(name="registry", rates={"registry.__main__:SESSIONS": 1.0, "heap.blocks": 1.0}),
    Plant(
        name="heap",
        rates={"registry.__main__:KEPT": 1.0, "heap.blocks": 1.0, "memory.anon": 264.0},
    ),
    Plant(name="child", rates={"zombies": 1 / 50}),
    Plant(name="thread", rates={"threads": 1 / 50}),
    Plant(name="clean", rates={}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of one audit."""

    name: str
    passed: bool
    outcome: str
    """`found`, `missed`, `wrong rate`, `accused` (what leaks nothing was) or `clean`."""
    resource: str
    planted: float | None
    """For each request."""
    measured: float | None
    unit: str
    seconds: float
    """From the first answer of the server to the verdict."""
    accused: tuple[str, ...]
    """What was accused wrongly, with the request."""
    evidence: str


def selftest(only: tuple[str, ...], print_json: bool, *, budget: str = BUDGET) -> int:
    """Audit the planted server for each leak in `only`, or for all, and show each result as it comes.

    Returns the exit code. Raises UsageError for an unknown name, and TargetError where an audit could not be made.
    """
    plants = _chosen(only)
    console = open_console()
    results: list[Result] = []
    load = os.getloadavg()
    with Interruptible() as interruptible:
        try:
            if not print_json:
                console.print(_row("plant", "outcome", "shown by", "measured", "planted", "after", style="bold"))
            for plant in plants:
                results.append(_judged(plant, _audited(plant.name, budget)))
                if not print_json:
                    console.print(_shown(results[-1]))
        except KeyboardInterrupt:
            interruptible.ignore()
            open_console(stderr=True).print("Interrupted; nothing is left running.", highlight=False)
            return _INTERRUPTED
    passed = all(result.passed for result in results)
    machine = {"cores": os.cpu_count(), "load_1min_before": load[0], "load_1min_after": os.getloadavg()[0]}
    if print_json:
        document = {"passed": passed, "budget": budget, "machine": machine, "results": [asdict(one) for one in results]}
        print_plain(json.dumps(document, indent=1) + "\n", console)
    else:
        _conclude(results, machine, console)
    return 0 if passed else 1


def _chosen(only: Sequence[str]) -> tuple[Plant, ...]:
    known = {plant.name: plant for plant in PLANTS}
    for name in only:
        if name not in known:
            raise UsageError(f"There is nothing to plant called '{name}'; there are: {', '.join(known)}")
    return tuple(plant for plant in PLANTS if not only or plant.name in only)


def _audited(name: str, budget: str) -> Audit:
    """Run `leakcheck audit` as a user would. Raises TargetError where it was not carried out."""
    leak = () if name == "clean" else ("--leak", name)
    target = (sys.executable, _PLANTED, "{port}", *leak)
    with tempfile.TemporaryDirectory(prefix="leakcheck-selftest-") as folder, tempfile.TemporaryFile() as problems:
        command = (sys.executable, "-m", "leakcheck", "audit", "--budget", budget, "--out", "audit")
        loads = ("--request", _CLEAN, "--request", _LEAKY)
        with _started((*command, *loads, "--", *target), folder, problems) as process:
            process.wait()
        problems.seek(0)
        if process.returncode not in (0, 1, 3):
            why = " ".join(problems.read().decode(errors="replace").split("\n")[-4:]).strip()
            raise TargetError(
                f"The audit of the planted leak '{name}' ended with exit code {process.returncode}: {why}; "
                f"run it yourself: leakcheck audit --request '{_LEAKY}' -- {' '.join(target)}"
            )
        return read_audit(Path(folder, "audit", FILE))


@contextmanager
def _started(command: Sequence[str], folder: str, problems: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run it until the block ends; where that is left early, it is told to end as by Ctrl-C and waited for."""
    process = subprocess.Popen(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=problems
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()  # what it audits ends with it: the reaper sees to that
            process.wait()


def _judged(plant: Plant, audit: Audit) -> Result:
    """Compare what was concluded with what was planted."""
    leaks = [finding for finding in audit.findings if finding.verdict is Verdict.LEAK]
    wrong = [one for one in leaks if not _is_explained(one, plant)]
    by_name = {one.resource: one for one in leaks if one.operation == _OPERATION}
    resource = next((name for name in plant.rates if name in by_name), next(iter(plant.rates), ""))
    found = by_name.get(resource)
    planted = plant.rates.get(resource)
    measured = found.rate.value if found is not None and found.rate is not None else None
    outcome = _outcome(planted, measured, wrong)
    first = next(iter(wrong), found)
    return Result(
        name=plant.name,
        passed=outcome in {"found", "clean"},
        outcome=outcome,
        resource=resource,
        planted=planted,
        measured=measured,
        unit=found.rate.unit if found is not None and found.rate is not None else "",
        seconds=_seconds(found, audit),
        accused=tuple(f"{one.resource} by {one.operation or 'nothing in particular'}" for one in wrong),
        evidence=first.evidence if first is not None else _why_not(plant, audit),
    )


def _is_explained(leak: Finding, plant: Plant) -> bool:
    """Whether the planted leak is a reason for it: what is kept, a thread too, takes memory beside."""
    explained = leak.resource in plant.rates or leak.resource.startswith(_MEMORY)
    return bool(plant.rates) and explained and leak.operation in {_OPERATION, None}


def _outcome(planted: float | None, measured: float | None, wrong: Sequence[Finding]) -> str:
    if wrong:
        return "accused"
    if planted is None:
        return "clean"
    if measured is None:
        return "missed"
    return "found" if planted / _OFF <= measured <= planted * _OFF else "wrong rate"


def _seconds(found: Finding | None, audit: Audit) -> float:
    if found is not None and found.confirmed_seconds is not None:
        return found.confirmed_seconds
    return audit.tool.wall_seconds


def _why_not(plant: Plant, audit: Audit) -> str:
    """What was said of the resource instead."""
    said = [f"{one.resource} {one.verdict}: {one.evidence}" for one in audit.findings if one.resource in plant.rates]
    return " ".join((*said, *audit.warnings[:2])) if plant.rates else ""


def _row(*cells: str, style: str = "") -> Table:
    """One line of a table that grows while it is read: all have the same widths, 79 in sum."""
    table = Table.grid(padding=(0, 1, 0, 0))
    for number, width in enumerate((11, 10, 27, 11, 8, 7)):
        table.add_column(width=width, no_wrap=True, justify="right" if number > 2 else "left")
    table.add_row(*(Text(cell, style=style) for cell in cells))
    return table


def _shown(result: Result) -> Table:
    planted = "–" if result.planted is None else f"{result.planted:.3g}"
    measured = "–" if result.measured is None else f"{result.measured:.3g}"
    style = "green" if result.passed else "bold red"
    return _row(
        result.name,
        result.outcome,
        result.resource or "nothing",
        measured,
        planted,
        figures.seconds(result.seconds),
        style=style,
    )


def _conclude(results: Sequence[Result], machine: Mapping[str, float | None], console: PatientConsole) -> None:
    """Say what it comes to, and where it failed, what may be why."""
    bad = [result for result in results if not result.passed]
    console.print()
    if not bad:
        console.print("All that was planted was found, nothing else was accused. Rates are for each request.")
        return
    for result in bad:
        about = "; ".join(result.accused) or f"planted {result.planted}, measured {result.measured}"
        console.print(f"{result.name}: {result.outcome} ({about}). {result.evidence}", markup=False, highlight=False)
    console.print(
        f"This machine has {machine['cores']} cores and a load of {machine['load_1min_before']:.1f} before, "
        f"{machine['load_1min_after']:.1f} after: where it is near the number of cores, fewer requests are played. "
        "Try again when it is idle; where it stays so, an audit here needs a longer --budget.",
        highlight=False,
    )
