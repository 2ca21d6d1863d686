"""What several test files need."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"


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
