"""What is told while an audit runs."""

import io
import os
import pty
import re
import threading

import pytest
from rich.console import Console

from leakcheck.model.event import Copy, Ended, Floor, Left, NotPlayed, Phase, Planned, Ready, TargetInfo, Warned
from leakcheck.model.plan import AuditPlan, DriverKind
from leakcheck.model.reading import Process, ProcessReadings, Snapshot
from leakcheck.render.live import Narrator
from leakcheck.render.terminal import PatientConsole


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def planned(rounds: int | None = None) -> Planned:
    plan = AuditPlan(command=("server",), pid=None, driver=DriverKind.STDIO, budget_seconds=60, rounds=rounds)
    return Planned(schema=1, version="0", at="2026-11-22T18:00:00Z", plan=plan, environment={})


def ready(server: str = "mimo 0.1") -> Ready:
    target = TargetInfo(
        name="mimo-server",
        command=("server",),
        pid=1,
        started=1,
        server=server,
        protocol="MCP over stdio",
        ready_seconds=0.83,
        operations=("call:a", "reject"),
        not_played=(NotPlayed(operation="call:b", reason="not read-only"),),
    )
    return Ready(target=target, resources=())


def floor(number: int, phase: Phase = Phase.MAIN, failed: int = 0) -> Floor:
    values = {"fds.socket": 40.0, "fds.file": 2.0, "threads": 3.0, "memory.anon": 20.0 * 2**20, "memory.uss": 9.0}
    process = ProcessReadings(process=Process(pid=1, started=1, role="python", command="server"), values=values)
    return Floor(
        round=number,
        phase=phase,
        operations={"call:a": 1000 * number, "reject": 10},
        planned={},
        failed={"call:a": failed} if failed else {},
        load_seconds=1.0,
        settle_seconds=0.2,
        settled=True,
        loaded={},
        before_undo={},
        snapshot=Snapshot(at_seconds=4.0 * number, cost_seconds=0.001, processes=(process, process), tree=()),
    )


def told(*events, clock: Clock | None = None, expected: int | None = 14) -> list[str]:
    file = io.StringIO()
    with Narrator(Console(file=file, width=80), clock or Clock()) as narrator:
        for event in events:
            narrator.event(event, expected)
    return file.getvalue().splitlines()


def test_each_round_is_one_plain_line_where_there_is_no_terminal():
    clock = Clock()
    file = io.StringIO()
    with Narrator(Console(file=file, width=80), clock) as narrator:
        narrator.event(planned(), None)
        narrator.event(ready(), None)
        for number, phase in enumerate((Phase.PILOT, Phase.WARM_UP, Phase.MAIN, Phase.QUIET), 1):
            clock.now += 4
            narrator.event(floor(number, phase), 14)
    assert file.getvalue().splitlines() == [
        "mimo-server: mimo 0.1, MCP over stdio, ready in 0.8 s; 2 kinds of operation, 1 kind left out",
        "round 1/~14 pilot  1,010 operations  2 processes  84 FDs  6 threads  40 MiB  56 s left",
        "round 2/~14 warm-up  2,010 operations  2 processes  84 FDs  6 threads  40 MiB  52 s left",
        "round 3/~14 judged  3,010 operations  2 processes  84 FDs  6 threads  40 MiB  48 s left",
        "round 4/~14 quiet  4,010 operations  2 processes  84 FDs  6 threads  40 MiB  44 s left",
    ]


def test_with_a_fixed_number_of_rounds_the_time_left_follows_from_the_rounds_so_far():
    clock = Clock()
    file = io.StringIO()
    with Narrator(Console(file=file, width=80), clock) as narrator:
        narrator.event(planned(rounds=10), 10)
        narrator.event(ready(), 10)
        clock.now += 8
        narrator.event(floor(2), 10)
    assert "round 2/10 judged" in file.getvalue()
    assert "32 s left" in file.getvalue()


def test_what_went_wrong_is_told_and_a_copy_that_left_nothing_is_not():
    lines = told(
        ready(),
        Copy(operation="session", number=1, ended_seconds=0.2, left=()),
        Copy(operation="abandon", number=1, ended_seconds=None, left=(Left(what="process", name="worker"),)),
        Warned(message="2 of 1,000 calls failed"),
        floor(3, failed=2),
        Ended(how="target died", wall_seconds=3, auditor_cpu_seconds=0.1, looking_cpu_seconds=0.01),
    )
    assert lines[1:3] == [
        "abandon, copy 1: left the server itself, 1 process (worker)",
        "warning: 2 of 1,000 calls failed",
    ]
    assert "2 failed" in lines[3]
    assert lines[4] == "target died: judging what was seen"


def test_text_of_the_target_has_no_power_over_the_terminal():
    lines = told(ready(server="evil \x1b[2J\x1b]0;x\x07 \u202e [red]"), Warned(message="\r\x1b[A gone"))
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202e]", "".join(lines))
    assert "\\x1b[2J" in lines[0]
    assert "[red]" in lines[0]


def test_a_closed_stderr_ends_nothing():
    reading, writing = os.pipe()
    os.close(reading)
    with (
        os.fdopen(writing, "w", encoding="utf-8", buffering=1) as file,
        Narrator(PatientConsole(file=file, width=80), Clock()) as narrator,
    ):
        for number in range(1, 4):
            narrator.event(floor(number), 14)


def test_a_file_closed_under_the_narrator_ends_nothing():
    file = io.StringIO()
    with Narrator(Console(file=file, width=80), Clock()) as narrator:
        narrator.event(floor(1), 14)
        file.close()
        narrator.event(floor(2), 14)
        narrator.event(floor(3), 14)


def drained(reading: int, seen: list[bytes]) -> None:
    while True:
        try:
            piece = os.read(reading, 65536)
        except OSError:
            return
        if not piece:
            return
        seen.append(piece)


def test_on_a_terminal_there_is_one_live_status_that_goes_away(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    reading, writing = pty.openpty()
    seen: list[bytes] = []
    reader = threading.Thread(target=drained, args=(reading, seen))
    reader.start()
    before = threading.active_count()
    with (
        os.fdopen(writing, "w", encoding="utf-8", buffering=1) as file,
        Narrator(Console(file=file, width=100, force_terminal=True), Clock()) as narrator,
    ):
        narrator.event(planned(), None)
        narrator.event(ready(), None)
        narrator.event(floor(3), 14)
        narrator.event(Warned(message="look out"), 14)
        assert threading.active_count() == before + 1
    reader.join(10)
    os.close(reading)
    assert not reader.is_alive()
    assert threading.active_count() == before - 1
    text = b"".join(seen).decode()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert "round 4 of about 14" in plain
    assert "3,010 operations" in plain
    assert "warning: look out" in plain
    assert "round 3/~14" not in plain
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    assert plain.rstrip().endswith("s left")
    assert text.endswith("\x1b[2K") or text.rstrip().endswith("\x1b[2K")


def test_a_terminal_that_hangs_up_ends_nothing(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    reading, writing = pty.openpty()
    os.close(reading)
    file = os.fdopen(writing, "w", encoding="utf-8", buffering=1)
    try:
        with Narrator(Console(file=file, width=100, force_terminal=True), Clock()) as narrator:
            for number in range(1, 4):
                narrator.event(floor(number), 14)
    finally:
        with pytest.raises(OSError, match="Input/output error"):
            file.close()
