"""What several test files need."""

import os
import signal
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"


def pytest_addoption(parser):
    """The long matrices run by shares, unless all is asked for."""
    parser.addoption(
        "--whole", action="store_true", help="run long matrices whole, not the share that the commit draws"
    )


def pytest_collection_modifyitems(config, items):
    """Keep every n-th test of what is marked `share(n)`, counted in its file; which ones, the commit draws."""
    if config.getoption("--whole"):
        return
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=PROGRAMS
    ).stdout
    drawn, seen, kept, left = int(head[:8] or "0", 16), Counter(), [], []
    for item in items:
        mark = item.get_closest_marker("share")
        matrix = (item.path, mark.args[0]) if mark else None
        (kept if mark is None or seen[matrix] % mark.args[0] == drawn % mark.args[0] else left).append(item)
        seen[matrix] += 1
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.fixture(scope="session", autouse=True)
def _own_scripts_first():
    """Let commands such as leakcheck, mimo-server, npx be found where this Python has them."""
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))


@pytest.fixture(scope="session", autouse=True)
def _signals_as_in_a_terminal():
    """A background shell, nohup or a CI runner may hand SIGINT and SIGHUP down as ignored, and children inherit it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGHUP, before[1])


@pytest.fixture
def programs():
    """The folder of small target programs."""
    return PROGRAMS


@pytest.fixture(scope="session")
def leakcheck_in():
    """Run the installed `leakcheck` command in a folder; returns the finished process, text captured."""

    def run(folder, *arguments, timeout=120, env=None):
        return subprocess.run(
            ["leakcheck", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    return run


@pytest.fixture
def leakcheck(leakcheck_in, tmp_path):
    """The same, in an empty folder."""
    return partial(leakcheck_in, tmp_path)
