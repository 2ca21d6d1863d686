"""Python processes in which no agent answers, though one should: children that close all they inherit."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from leakcheck.probes import _inside
from leakcheck.probes._inside import Agents


@pytest.fixture
def clock(monkeypatch):
    """A clock that only waiting moves."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(
        _inside,
        "time",
        SimpleNamespace(
            monotonic=lambda: now.seconds, sleep=lambda pause: setattr(now, "seconds", now.seconds + pause)
        ),
    )
    return now


@pytest.fixture
def children():
    """Python processes that were started with an agent's environment, and have none."""
    started = []

    def start():
        command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
        environment = {"LEAKCHECK_AGENT": "/nowhere", "PATH": os.environ["PATH"]}
        one = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        started.append(one)
        one.stdout.readline()
        return one.pid

    yield start
    for one in started:
        one.stdin.close()
        one.wait(20)
        one.stdout.close()


def test_a_mute_child_is_waited_for_and_the_tenth_of_its_kind_hardly(tmp_path, clock, children):
    agents, waited = Agents(folder=str(tmp_path), is_entered=False), []
    for _ in range(10):
        pid, before = children(), clock.seconds
        for _ in range(4):
            answer = agents.ask(pid, 1)
            assert isinstance(answer, str)
            assert "does not answer (nobody listens" in answer
        waited.append(clock.seconds - before)
    assert 2 <= waited[0] <= 5
    assert waited[-1] <= 0.7
    assert sum(waited) < 12
