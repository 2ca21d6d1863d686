"""Skills with real processes: hostile ones, many callers, the pool, the restart budget, the catalog."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from mimo_server.errors import (
    InvalidError,
    LimitError,
    NotFoundError,
    SettingsError,
    SkillClosedError,
    SkillEndedError,
    SkillError,
    SkillLateError,
)
from mimo_server.skills import catalog_file
from mimo_server.skills.catalog import Catalog, bundled
from mimo_server.skills.client import Counts, SkillClient
from mimo_server.skills.discover import discover, discovered
from mimo_server.skills.skill import Limits, Processes, Skill, Tool
from mimo_server.skills.strays import MARK
from mimo_server.skills.supervisor import SkillSupervisor
from mimo_server.supervision.events import Events, Kind
from mimo_server.supervision.restarts import RestartBudget

pytestmark = pytest.mark.share(3)

HOSTILE = Path(__file__).with_name("programs") / "skill_hostile.py"
PATIENCE = 20.0
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
ACT = Tool(name="act", description="Acts.", input_schema=SCHEMA)


def awaited(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run it on an event loop of its own, which must have nothing to complain of."""

    async def strict(*arguments: Any, **fixtures: Any) -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
        await test(*arguments, **fixtures)
        gc.collect()
        assert complaints == []

    @functools.wraps(test)
    def run(*arguments: Any, **fixtures: Any) -> None:
        asyncio.run(strict(*arguments, **fixtures))

    return run


async def until(condition: Callable[[], object], what: str) -> None:
    deadline, pause = time.monotonic() + PATIENCE, 0.002
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE} s"
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.05)


def hostile(way: str, *rest: str, name: str = "hostile", **changes: Any) -> Skill:
    fields = {"answer_seconds": 10.0, "start_seconds": 10.0, "processes": Processes(most=1), "tools": (ACT,), **changes}
    return Skill(name=name, command=(sys.executable, "-I", "-S", str(HOSTILE), way, *rest), **fields)


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- the listing's own descriptor is in each


def standing(skills: SkillSupervisor) -> dict[str, object]:
    """All that must be as before when a skill has gone."""
    return {
        "descriptors": len(descriptors()),
        "children": sorted(child.pid for child in psutil.Process().children(recursive=True)),
        "tasks": sorted(task.get_name() for task in asyncio.all_tasks()),
        "registries": {bound.name: bound.size for bound in skills.bounds()},
        "pools": sorted(skills.pools),
    }


class Quick(SkillSupervisor):
    """A budget that tests do not have to wait for."""

    def budget(self, skill: Skill) -> RestartBudget:
        return RestartBudget(first_delay=0.001, longest_delay=0.01)


def catalog_of(*given: Skill) -> Catalog:
    catalog = Catalog()
    catalog.replace({**bundled(), **{skill.name: skill for skill in given}})
    return catalog


@contextlib.asynccontextmanager
async def running(*given: Skill, limit: int = 100) -> AsyncIterator[Quick]:
    """Skills beside the bundled one. In the end they are taken out, and all is as before; the bundled one answers."""
    async with Quick(catalog_of(), Events(), limit=limit, grace_seconds=0.4) as skills:
        assert await said(skills, "skill_echo", text="before") == "before"
        before = standing(skills)
        skills.catalog.replace({**bundled(), **{skill.name: skill for skill in given}})
        yield skills
        assert await said(skills, "skill_echo", text="after") == "after"
        skills.catalog.replace(bundled())
        await skills.reload()
        await until(lambda: standing(skills) == before, f"as before: {before}, not {standing(skills)}")
    assert [bound.size for bound in skills.bounds()[:3]] == [0, 0, 0]
    assert psutil.Process().children(recursive=True) == []


async def said(skills: SkillSupervisor, name: str, **arguments: Any) -> str:
    return (await skills.call(name, arguments))["structuredContent"]["text"]


async def act(skills: SkillSupervisor) -> str:
    return (await skills.call("hostile_act", {}))["content"][0]["text"]


def counts(skills: SkillSupervisor) -> dict[Kind, int]:
    return skills._shared.events.counts


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to be hostile, and the answer that it must get: an error with these words, or a text."""

    row: str
    way: str
    rest: tuple[str, ...] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    error: type[Exception] | None = None
    words: str = ""
    text: str | None = None
    late_answers: int = 0
    dropped_lines: int = 0


SHORT = {"answer_seconds": 0.5}
ROWS = (
    Row(row="77-exits-before-initialize", way="ends_at_once", error=SkillError, words="exit code 3"),
    Row(
        row="77-never-answers-initialize",
        way="never_answers",
        changes={"start_seconds": 0.5},
        error=SkillLateError,
        words="initialize within 0.5 s|not ready within 0.5 s",
    ),
    Row(row="78-endless-line-at-start", way="endless_line", error=SkillError, words="more than 1 MiB"),
    Row(row="78-endless-line-in-a-call", way="endless_line_in_call", error=SkillEndedError, words="more than 1 MiB"),
    Row(row="79-a-banner-and-broken-lines", way="banner", text="PID", dropped_lines=6),
    Row(row="79-no-json-at-all", way="no_json_at_all", error=SkillError, words="no JSON-RPC", dropped_lines=100),
    Row(row="80-wrong-ids", way="wrong_id", text="mine", late_answers=7),
    Row(row="80-an-answer-twice", way="duplicate_id", text="mine", late_answers=1),
    Row(row="80-neither-result-nor-error", way="no_outcome", error=SkillError, words="no result of a tool"),
    Row(row="80-a-result-of-another-shape", way="bad_result", error=SkillError, words="no result of a tool"),
    Row(row="80-an-error-of-another-shape", way="bad_error", error=SkillError, words="without code and message"),
    Row(row="80-an-error-with-control-characters", way="error", error=SkillError, words=r"no\\x1b\[31m\\nway"),
    Row(row="82-floods-stderr", way="floods_stderr", text="PID"),
    Row(row="82-floods-stderr-for-ever", way="floods_stderr_for_ever", text="PID"),
    Row(row="83-asks-without-reading", way="asks_without_reading", error=SkillEndedError, words="answers unread"),
    Row(row="83-notifies-without-end", way="notifies_without_end", error=SkillEndedError, words="answer nothing"),
    Row(row="85-markup-in-a-name", way="bad_name", rest=("<script>",), error=SkillError, words="name does not fit"),
    Row(row="85-a-newline-in-a-name", way="bad_name", rest=("act\n",), error=SkillError, words="name does not fit"),
    Row(row="85-an-escape-in-a-name", way="bad_name", rest=("\x1b[31m",), error=SkillError, words="name does not fit"),
    Row(row="85-a-long-name", way="bad_name", rest=("x" * 10_000,), error=SkillError, words="name does not fit"),
    Row(row="85-a-homoglyph", way="bad_name", rest=("\u0430ct",), error=SkillError, words="name does not fit"),
    Row(row="85-a-long-description", way="long_description", error=SkillError, words="description does not fit"),
    Row(row="85-a-large-schema", way="large_schema", error=SkillError, words="inputSchema does not fit"),
    Row(row="85-a-schema-that-is-a-list", way="schema_is_no_object", error=SkillError, words="inputSchema does not"),
    Row(row="85-a-tool-that-is-a-number", way="tool_is_no_object", error=SkillError, words="no object"),
    Row(row="86-tools-changed-after-approval", way="changed", text="PID"),
    Row(row="87-ten-thousand-tools", way="many_tools", error=SkillError, words="10000 tools; 256 are the most|1 MiB"),
    Row(row="87-a-list-without-end", way="endless_list", error=SkillError, words="more than 256 tools"),
    Row(row="88-kills-its-reaper", way="kills_reaper", error=SkillEndedError, words="reaper was killed"),
    Row(row="88-stops-its-reaper", way="stops_reaper", changes=SHORT, error=SkillLateError, words="within 0.5 s"),
    Row(
        row="90-memory",
        way="memory",
        changes={"limits": Limits(memory_mib=128)},
        error=SkillEndedError,
        words="exit code 1;",
    ),
    Row(row="90-files", way="files", changes={"limits": Limits(files=16)}, text="Too many open files"),
    Row(
        row="90-cpu",
        way="cpu",
        changes={"limits": Limits(cpu_seconds=1), "answer_seconds": 20.0},
        error=SkillEndedError,
        words="SIGXCPU",
    ),
    Row(row="an-old-protocol", way="old_version", error=SkillError, words="1999-01-01"),
    Row(row="no-protocol", way="no_version", error=SkillError, words="did not answer initialize"),
    Row(row="ends-in-mid-call", way="ends_in_call", error=SkillEndedError, words="exit code 7"),
    Row(row="answers-and-ends", way="answers_and_ends", text="last words"),
    Row(row="closes-stdin", way="closes_stdin", error=SkillEndedError, words="closed its stdin"),
    Row(row="closes-stdout", way="closes_stdout", error=SkillEndedError, words="closed its stdout"),
)


@pytest.mark.share(2)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.row)
@awaited
async def test_a_hostile_skill_gets_its_answer_and_leaves_nothing(row: Row) -> None:
    async with running(hostile(row.way, *row.rest, **row.changes)) as skills:
        if row.error is None:
            answer = await act(skills)
            assert answer == row.text or (row.text == "PID" and answer.isdecimal())
        else:
            with pytest.raises(row.error, match=row.words):
                await act(skills)
        await until(lambda: skills.counts.late_answers == row.late_answers, f"{row.late_answers} answers for nobody")
        assert counts(skills)[Kind.LATE_ANSWER] == min(row.late_answers, 1), "one event a second at most"
        assert skills.counts.dropped_lines == row.dropped_lines


@awaited
async def test_73_a_command_that_is_not_in_the_catalog_cannot_be_named() -> None:
    async with running() as skills:
        for name in ("hostile_act", "skill_../../bin/sh", "skill", "", ("skill", "x"), ("/bin/sh", "echo")):
            with pytest.raises(NotFoundError):
                await skills.call(name, {})


@awaited
async def test_74_arguments_reach_the_command_as_they_are_written() -> None:
    nasty = ("; touch x", "$(id)", "`id`", "${HOME}", "a b", "*", "'\"", "--", "-c", "é\n")
    async with running(hostile("looks_around", *nasty)) as skills:
        assert json.loads(await act(skills))["arguments"] == list(nasty)


@awaited
async def test_75_and_89_a_skill_sees_no_descriptor_and_only_what_is_allowed_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("LD_PRELOAD", "PYTHONPATH", "MIMO_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANTED", "LC_TIME", "TZ"):
        monkeypatch.setenv(name, "" if name == "LD_PRELOAD" else "seen")
    skill = hostile("looks_around", inherit=("WANTED", "MISSING"), env={"MIMO_GIVEN": "1"}, cwd=str(tmp_path))
    with (tmp_path / "open file").open("w") as held:
        os.set_inheritable(held.fileno(), True)
        async with running(skill) as skills:
            seen = json.loads(await act(skills))
    allowed = {"PATH", "HOME", "LANG", "TMPDIR", "TZ", "WANTED", "MIMO_GIVEN", MARK}
    assert {"PATH", "TZ", "WANTED", "MIMO_GIVEN", "LC_TIME"} <= set(seen["environ"])
    assert {name for name in seen["environ"] if not name.startswith("LC_")} <= allowed
    assert sorted(seen["fds"]) == ["0", "1", "2"]
    assert seen["cwd"] == str(tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"command": ("/no/such/program",)}, "No such file"),
        ({"command": ("no-such-program",)}, "No such file"),
        ({"command": ("/etc/passwd",)}, "Permission denied"),
        ({"command": ("no-such-program",), "limits": Limits(files=64)}, "No such file"),
        ({"cwd": "/no/such/folder"}, "/no/such/folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
@awaited
async def test_76_what_cannot_be_started_says_so(changes: dict[str, Any], words: str) -> None:
    async with running(replace(hostile("good"), **changes)) as skills:
        with pytest.raises(SkillError, match=words):
            await act(skills)


@awaited
async def test_81_a_late_answer_is_dropped_and_counted_and_never_given_to_the_next_caller(tmp_path: Path) -> None:
    slow = replace(bundled()["skill"], name="slow", answer_seconds=0.3)
    async with running(slow, hostile("silent", str(tmp_path / "cancelled"), **SHORT)) as skills:
        # The bundled skill forgets what is cancelled, so a late answer needs one that does not read it in time.
        await said(skills, "slow_echo", text="ready")
        (client,) = skills.pools["slow"].members
        client._give_up = lambda number, reason: None
        with pytest.raises(SkillLateError, match=r"within 0\.3 s"):
            await skills.call("slow_delay", {"text": "late", "milliseconds": 500})
        for number in range(5):
            assert await said(skills, "slow_echo", text=f"n{number}") == f"n{number}"
        await until(lambda: skills.counts.late_answers == 1, "the late answer")
        assert await said(skills, "slow_echo", text="last") == "last"
        assert counts(skills)[Kind.LATE_ANSWER] == 1
        with pytest.raises(SkillLateError):
            await act(skills)
        await until((tmp_path / "cancelled").exists, "the skill was told that its call is given up")


@awaited
async def test_83_a_skill_that_asks_is_refused() -> None:
    async with running(hostile("asks")) as skills:
        *refused, pong = json.loads(await act(skills))
        assert [answer["error"]["code"] for answer in refused] == [-32601] * 3
        assert [answer["id"] for answer in refused] == ["q0", "q1", "q2"]
        assert pong == {"jsonrpc": "2.0", "id": "q3", "result": {}}


@awaited
async def test_86_tools_that_changed_are_an_event_and_clients_are_told_what_was_approved() -> None:
    async with running(hostile("changed")) as skills:
        await act(skills)
        assert [dict(event.facts) for event in skills._shared.events.recent if event.kind is Kind.SKILL_CHANGED] == [
            {"skill": "hostile", "tools": "act, more"}
        ]
        assert skills.catalog.find("hostile_act").tool.description == "Acts."
        with pytest.raises(NotFoundError):
            await skills.call("hostile_more", {})


@awaited
async def test_82_of_stderr_the_end_is_kept_and_the_rest_counted() -> None:
    async with running(hostile("floods_stderr")) as skills:
        await act(skills)
        stderr = skills.pools["hostile"].members[0].process.stderr
        await until(lambda: stderr.total == 100 * 16_000 + 290, "all of it is read")
        assert len(stderr.kept) == 64 * 1024
        assert stderr.kept.endswith(b"e99\n")


@awaited
async def test_88_a_daemon_goes_too_when_the_skill_has_killed_the_reaper_that_would_have_ended_it(
    tmp_path: Path,
) -> None:
    ready = tmp_path / "ready"

    def alive() -> list[int]:
        return [one.pid for one in psutil.process_iter(["cmdline"]) if str(ready) in (one.info["cmdline"] or ())]

    async with running(hostile("leaves_a_daemon_and_kills_reaper", str(ready))) as skills:
        with pytest.raises(SkillEndedError, match="reaper was killed"):
            await act(skills)
        assert ready.exists()
        await until(lambda: alive() == [], "the daemon is gone")
        await until(lambda: len(skills.processes) == 1, "its row is gone")


@awaited
async def test_90_limits_are_set_before_the_command_runs() -> None:
    given = Limits(memory_mib=512, files=50, processes=4000, cpu_seconds=100)
    async with running(hostile("limits", limits=given)) as skills:
        seen = json.loads(await act(skills))
    assert seen == {"RLIMIT_AS": 512 << 20, "RLIMIT_NOFILE": 50, "RLIMIT_NPROC": 4000, "RLIMIT_CPU": 100}


@awaited
async def test_a_flood_on_stderr_does_not_keep_the_others_from_their_answers() -> None:
    async with running(hostile("floods_stderr_for_ever")) as skills:
        await act(skills)
        begun = time.monotonic()
        for number in range(100):
            assert await said(skills, "skill_echo", text=f"n{number}") == f"n{number}"
        assert time.monotonic() - begun < 5.0


@awaited
async def test_progress_reaches_the_call_that_asked_for_it() -> None:
    async with running(hostile("progress")) as skills:
        seen: list[tuple[float, float | None, str | None]] = []
        await skills.call("hostile_act", {}, on_progress=lambda *told: seen.append(told))
        assert seen == [(1, 2, "step 1"), (2, 2, "step 2")]


@awaited
async def test_what_a_skill_does_not_read_is_bounded() -> None:
    skill = hostile("stops_reading", answer_seconds=5.0)
    async with running(skill) as skills:
        calls = [asyncio.create_task(skills.call("hostile_act", {"text": "x" * 200_000})) for _ in range(10)]
        done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert all("does not read" in str(call.exception()) for call in done)
        assert all(isinstance(call.exception(), LimitError) for call in done)
        for call in waiting:
            call.cancel()
        await asyncio.wait(waiting)


@awaited
async def test_a_skill_that_says_nothing_during_three_calls_is_replaced() -> None:
    async with running(hostile("silent", answer_seconds=0.1)) as skills:
        for _ in range(3):
            with pytest.raises(SkillLateError):
                await act(skills)
        await until(lambda: skills.running["hostile"] == 0, "it is taken out")
        assert counts(skills)[Kind.SKILL_ENDED] == 1


@awaited
async def test_answers_for_nobody_without_end_end_the_skill_and_do_not_fill_the_log() -> None:
    async with running(hostile("answers_nobody")) as skills:
        with pytest.raises(SkillEndedError, match="answer nothing"):
            await act(skills)
        assert skills.counts.late_answers == 10_000
        assert counts(skills)[Kind.LATE_ANSWER] <= 20


@awaited
async def test_a_number_that_json_does_not_have_is_refused_and_reaches_no_skill() -> None:
    async with running(hostile("good")) as skills:
        with pytest.raises(InvalidError, match="no NaN"):
            await skills.call("hostile_act", {"x": float("nan")})
        assert (await act(skills)).isdecimal()


@awaited
async def test_a_start_without_descriptors_is_an_error_wherever_they_run_out_and_leaves_none_open() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with running(hostile("good")) as skills:
        skills.budget = lambda _skill: RestartBudget(most=1000, first_delay=0.001, longest_delay=0.001)
        before = len(descriptors())
        failed = 0
        for more in range(100):
            resource.setrlimit(resource.RLIMIT_NOFILE, (before - 2 + more, hard))
            try:
                answer = await act(skills)
            except SkillError:
                failed += 1
                await until(lambda: len(skills.processes) == 1, "nothing of it is left")
            else:
                break
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert len(descriptors()) == before, f"with {more}"
        assert answer.isdecimal()
        assert failed >= 8  # the socket pair, six ends of pipes, the pidfd


# The pool


@awaited
async def test_fifty_concurrent_callers_each_get_their_own_answer() -> None:
    async with running(replace(bundled()["skill"], name="many")) as skills:

        async def caller(number: int) -> None:
            for turn in range(10):
                text = f"{number}/{turn}"
                if (number + turn) % 3:
                    assert await said(skills, "many_echo", text=text) == text
                else:
                    assert await said(skills, "many_delay", text=text, milliseconds=(number * 7) % 40) == text

        await asyncio.gather(*map(caller, range(50)))
        assert skills.counts.late_answers == 0
        assert 1 < skills.running["many"] <= 4


@awaited
async def test_a_delayed_answer_does_not_hold_up_later_ones() -> None:
    async with running() as skills:
        slow = asyncio.create_task(skills.call("skill_delay", {"text": "slow", "milliseconds": 5000}))
        await until(lambda: skills.pools["skill"].members[0].in_flight, "it is sent")
        assert await said(skills, "skill_echo", text="quick") == "quick"
        assert not slow.done()
        slow.cancel()
        await asyncio.wait({slow})


@awaited
async def test_two_first_calls_are_one_start() -> None:
    async with running(hostile("good", processes=Processes(most=4))) as skills:
        pids = await asyncio.gather(*(act(skills) for _ in range(8)))
        assert len(set(pids)) == 1
        assert skills.waits.bound().high_water == 8


@awaited
async def test_a_pool_grows_under_load_and_shrinks_to_its_least_when_idle() -> None:
    processes = Processes(least=1, most=3)
    pooled = replace(bundled()["skill"], name="pooled", answer_seconds=60, idle_seconds=0.3, processes=processes)
    async with running(pooled) as skills:

        def calls(number: int) -> list[asyncio.Task[dict[str, Any]]]:
            arguments = {"text": "t", "milliseconds": 50_000}
            return [asyncio.create_task(skills.call("pooled_delay", arguments)) for _ in range(number)]

        given = calls(40)
        await until(lambda: skills.running["pooled"] == 2, "it grows, since the first is full")
        await until(lambda: skills.pools["pooled"].members[1].in_flight == 8, "the others went to the second")
        given += calls(10)
        await until(lambda: skills.running["pooled"] == 3, "it grows, since the second is busy")
        given += calls(10)
        await until(lambda: len(skills.calls) == 60, "all are sent")
        assert skills.pools["pooled"]._starting is None, "it does not grow beyond its most"
        for call in given:
            call.cancel()
        await asyncio.wait(given)
        await until(lambda: len(skills.processes) == 2, "two have gone, and the bundled skill stays")
        assert skills.running == {"skill": 1, "pooled": 1}


@awaited
async def test_the_last_process_of_an_idle_skill_goes_too_and_the_next_call_starts_one() -> None:
    async with running(replace(bundled()["skill"], name="idle", idle_seconds=0.1)) as skills:
        for turn in ("one", "two"):
            assert await said(skills, "idle_echo", text=turn) == turn
            await until(lambda: len(skills.processes) == 1, "it is gone")
        assert skills.running["idle"] == 0
        assert counts(skills)[Kind.SKILL_ENDED] == 2


@awaited
async def test_a_full_process_that_may_not_be_joined_by_another_refuses() -> None:
    async with running(replace(bundled()["skill"], name="one", processes=Processes(most=1))) as skills:
        calls = [asyncio.create_task(skills.call("one_delay", {"text": "t", "milliseconds": 3000})) for _ in range(32)]
        await until(lambda: skills.running["one"] and skills.pools["one"].members[0].in_flight == 32, "all are sent")
        with pytest.raises(LimitError, match="1 processes are full"):
            await skills.call("one_echo", {"text": "x"})
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)


@awaited
async def test_the_most_processes_in_all_is_a_limit_and_no_failure_of_the_skill() -> None:
    async with running(hostile("good"), hostile("good", name="another"), limit=2) as skills:
        await act(skills)
        with pytest.raises(LimitError, match="skills: 2 at once"):
            await skills.call("another_act", {})
        assert skills.processes.bound().rejected == 1
        assert skills.pools["another"].budget.delay() == 0.0


@awaited
async def test_a_process_that_was_killed_is_replaced_and_its_row_leaves_with_it() -> None:
    async with running(hostile("good")) as skills:
        first = await act(skills)
        psutil.Process(int(first)).kill()
        await until(lambda: skills.running["hostile"] == 0, "its end is seen")
        second = await act(skills)
        assert first != second
        await until(lambda: len(skills.processes) == 2, "the row of the first has gone")
        assert skills.processes.sweep() == 0


@awaited
async def test_a_caller_that_gives_up_leaves_a_whole_start_to_the_others() -> None:
    async with running(hostile("good")) as skills:
        first = asyncio.create_task(act(skills))
        second = asyncio.create_task(act(skills))
        await until(lambda: len(skills.processes) == 2, "it is starting")
        first.cancel()
        assert (await second).isdecimal()


@awaited
async def test_a_skill_that_fails_five_times_is_closed_alone_and_says_when_it_may_be_tried_again() -> None:
    async with running(hostile("ends_at_once"), hostile("good", name="sibling")) as skills:
        sibling = (await skills.call("sibling_act", {}))["content"]
        for _ in range(5):
            with pytest.raises(SkillError, match="exit code 3"):
                await act(skills)
        begun = time.monotonic()
        with pytest.raises(SkillClosedError, match=r"tried again in (5\d|60) s"):
            await act(skills)
        assert time.monotonic() - begun < 0.1
        assert "hostile (for" in (await skills.check() or "")
        assert counts(skills)[Kind.SKILL_CLOSED] == 1
        assert (await skills.call("sibling_act", {}))["content"] == sibling, "the same process"


@awaited
async def test_a_well_supervisor_says_so() -> None:
    async with running() as skills:
        assert await skills.check() is None
        assert skills.running == {"skill": 1}
        assert [bound.name for bound in skills.bounds()] == ["skills", "skill_calls", "skill_waits", "skill_catalog"]


@awaited
async def test_the_end_of_the_server_ends_all_skills_at_once_also_one_that_starts() -> None:
    given = [hostile("good", name=f"s{number}") for number in range(8)]
    async with SkillSupervisor(catalog_of(*given, hostile("never_answers")), Events(), grace_seconds=0.4) as skills:
        await asyncio.gather(*(skills.call(f"s{number}_act", {}) for number in range(8)))
        late = asyncio.create_task(act(skills))
        await until(lambda: len(skills.processes) == 9, "the ninth starts")
        begun = time.monotonic()
    assert time.monotonic() - begun < 5.0
    with pytest.raises(SkillError):
        await late
    assert psutil.Process().children(recursive=True) == []
    assert len(skills.processes) == 0


@awaited
async def test_a_reload_ends_what_changed_after_its_answer_and_leaves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "skills.json"
    entry = {
        "command": list(bundled()["skill"].command),
        "tools": [tool.as_json() for tool in bundled()["skill"].tools],
    }
    path.write_text(json.dumps({"skills": {"a": entry, "b": entry}}))
    async with SkillSupervisor(Catalog(path), Events(), grace_seconds=0.4) as skills:
        await said(skills, "a_echo", text="x")
        await said(skills, "b_echo", text="x")
        kept = skills.pools["b"].members[0]
        slow = asyncio.create_task(said(skills, "a_delay", text="slow", milliseconds=300))
        await until(lambda: skills.pools["a"].members[0].in_flight, "it is sent")
        path.write_text(json.dumps({"skills": {"a": {**entry, "answer_seconds": 5}, "b": entry}}))
        await skills.reload()
        assert await said(skills, "a_echo", text="new") == "new"
        assert await slow == "slow"
        assert skills.pools["b"].members == [kept]
        await until(lambda: len(skills.processes) == 2, "the old process of a has gone")
        path.write_text("{")
        with pytest.raises(SettingsError, match="no JSON"):
            await skills.reload()
        assert [offered.name for offered in skills.catalog.offered()] == ["a_echo", "a_delay", "b_echo", "b_delay"]
    assert psutil.Process().children(recursive=True) == []


# The catalog

GOOD = {"command": ["python3", "x.py"]}
TOOL = {"name": "t", "inputSchema": {"type": "object"}}
BAD_ENTRIES = {
    "no command": ({}, "command: is missing; add it"),
    "empty command": ({"command": []}, "command: .*at least 1 item"),
    "a shell line": ({"command": "python3 x.py; id"}, r"command: .*valid tuple"),
    "relative command": ({"command": ["./x"]}, "command: './x' is neither a name on PATH nor a full path"),
    "empty name": ({"command": [""]}, "neither a name on PATH nor a full path"),
    "number in command": ({"command": ["a", 1]}, r"command\.1: .*valid string \(it is 1\)"),
    "NUL in command": ({"command": ["a\0"]}, "NUL character"),
    "surrogate in command": ({"command": ["a", "\ud800"]}, r"command\.1"),
    "unknown field": ({**GOOD, "comand": 1}, "comand: there is no such field; remove it or correct its spelling"),
    "its own name": ({**GOOD, "name": "x"}, "without name"),
    "name of a variable": ({**GOOD, "env": {"A=B": "1"}}, "env"),
    "value of a variable": ({**GOOD, "env": {"A": 1}}, r"env\.A: .*valid string"),
    "inherit LD_PRELOAD": ({**GOOD, "inherit": ["LD_PRELOAD"]}, "LD_PRELOAD is never passed on.*in env"),
    "inherit PYTHONPATH": ({**GOOD, "inherit": ["PYTHONPATH"]}, "never passed on"),
    "inherit MIMO_TOKEN": ({**GOOD, "inherit": ["MIMO_TOKEN"]}, "never passed on"),
    "relative cwd": ({**GOOD, "cwd": "../x"}, "cwd: '../x' is no full path; give one"),
    "no answer time": ({**GOOD, "answer_seconds": 0}, "answer_seconds: .*greater than 0"),
    "an endless answer time": ({**GOOD, "answer_seconds": 1e9}, "answer_seconds: .*less than or equal to 3600"),
    "true as a number": ({**GOOD, "start_seconds": True}, r"start_seconds: .*\(it is True\)"),
    "text as a number": ({**GOOD, "idle_seconds": "5"}, "idle_seconds"),
    "least above most": ({**GOOD, "processes": {"least": 3, "most": 2}}, "least 3 is above most 2"),
    "too many processes": ({**GOOD, "processes": {"most": 33}}, r"processes\.most"),
    "fraction of a process": ({**GOOD, "processes": {"most": 1.5}}, r"processes\.most"),
    "too little memory": ({**GOOD, "limits": {"memory_mib": 1}}, r"limits\.memory_mib"),
    "unknown limit": ({**GOOD, "limits": {"disk": 1}}, r"limits\.disk: there is no such field"),
    "name of a tool": ({**GOOD, "tools": [{**TOOL, "name": "a b"}]}, r"tools\.0\.name"),
    "a tool twice": ({**GOOD, "tools": [TOOL, TOOL]}, "the tool 't' is listed twice"),
    "too many tools": ({**GOOD, "tools": [{**TOOL, "name": f"t{n}"} for n in range(257)]}, "at most 256"),
    "schema is no object": ({**GOOD, "tools": [{**TOOL, "inputSchema": {"type": "array"}}]}, 'needs "type": "object"'),
    "no schema": ({**GOOD, "tools": [{"name": "t"}]}, r"tools\.0\.inputSchema: is missing"),
    "large schema": (
        {**GOOD, "tools": [{**TOOL, "outputSchema": {"type": "object", "description": "x" * 70_000}}]},
        "65536 are the most",
    ),
    "long description": ({**GOOD, "tools": [{**TOOL, "description": "x" * 4097}]}, r"tools\.0\.description"),
    "no object": ([], "must be an object"),
}


@pytest.mark.parametrize("case", BAD_ENTRIES)
def test_a_bad_entry_of_the_catalog_is_refused_with_its_skill_and_field(case: str, tmp_path: Path) -> None:
    entry, words = BAD_ENTRIES[case]
    path = tmp_path / "skills.json"
    path.write_text(json.dumps({"skills": {"good": GOOD, "bad": entry}}))
    with pytest.raises(SettingsError, match=f"skill 'bad'.*{words}"):
        Catalog(path)


BAD_FILES = {
    "no JSON": ("{", "no JSON"),
    "a list": ("[]", "must be"),
    "more than skills": ('{"skills": {}, "x": 1}', "must be"),
    "a skill twice": ('{"skills": {"a": {"command": ["x"]}, "a": {"command": ["y"]}}}', "'a' is listed twice"),
    "a field twice": ('{"skills": {"a": {"command": ["x"], "command": ["y"]}}}', "'command' is listed twice"),
    "NaN": ('{"skills": {"a": {"command": ["x"], "answer_seconds": NaN}}}', "NaN is no number"),
    "1e999": ('{"skills": {"a": {"command": ["x"], "answer_seconds": 1e999}}}', "answer_seconds"),
    "nested deep": ('{"skills": ' + "[" * 100_000, "no JSON"),
    "65 skills": (json.dumps({"skills": {f"s{n}": GOOD for n in range(65)}}), "65 skills; 64 are the most"),
    "name in capitals": (json.dumps({"skills": {"Bad": GOOD}}), "skill 'Bad'.*name"),
    "name with a newline": (json.dumps({"skills": {"a\n": GOOD}}), "name"),
    "long name": (json.dumps({"skills": {"a" * 33: GOOD}}), "name"),
    "9 MiB": (" " * (9 << 20), "more than 8 MiB"),
    "one name for two tools": (
        json.dumps(
            {
                "skills": {
                    "a_b": {**GOOD, "tools": [{**TOOL, "name": "c"}]},
                    "a": {**GOOD, "tools": [{**TOOL, "name": "b_c"}]},
                }
            }
        ),
        "offered as a_b_c, which is taken by skill 'a_b'; rename the skill",
    ),
    "the name of a tool of the server": (
        json.dumps({"skills": {"memory": {**GOOD, "tools": [{**TOOL, "name": "search"}]}}}),
        "offered as memory_search, which is taken by a tool of the server itself",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_catalog_file_is_refused(case: str, tmp_path: Path) -> None:
    content, words = BAD_FILES[case]
    path = tmp_path / "skills.json"
    path.write_text(content)
    with pytest.raises(SettingsError, match=words):
        Catalog(path, reserved=("memory_search",))


def test_a_catalog_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(SettingsError, match="cannot be read"):
            Catalog(path)


def test_every_field_of_a_full_entry_is_read(tmp_path: Path) -> None:
    path = tmp_path / "skills.json"
    entry = {
        "command": ["node", "server.js"],
        "env": {"A": "1"},
        "inherit": ["HTTPS_PROXY"],
        "cwd": "/tmp",
        "answer_seconds": 5,
        "start_seconds": 2.5,
        "idle_seconds": 60,
        "processes": {"least": 1, "most": 2},
        "limits": {"memory_mib": 512, "files": 64, "processes": 32, "cpu_seconds": 10},
        "tools": [
            {**TOOL, "description": "d", "outputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
        ],
    }
    path.write_text(json.dumps({"skills": {"full": entry}}))
    (offered,) = Catalog(path).offered()
    assert offered.name == "full_t"
    assert offered.tool.as_json() == entry["tools"][0]
    assert offered.skill == Skill(
        name="full",
        command=("node", "server.js"),
        env={"A": "1"},
        inherit=("HTTPS_PROXY",),
        cwd="/tmp",
        answer_seconds=5,
        start_seconds=2.5,
        idle_seconds=60,
        processes=Processes(least=1, most=2),
        limits=Limits(memory_mib=512, files=64, processes=32, cpu_seconds=10),
        tools=(offered.tool,),
    )


def test_the_rows_of_a_generation_leave_with_it() -> None:
    catalog = catalog_of(hostile("good"))
    assert catalog.bound().size == 3
    catalog.replace(bundled())
    assert [offered.name for offered in catalog.offered()] == ["skill_echo", "skill_delay"]
    assert (catalog.bound().size, catalog.bound().high_water) == (2, 3)


@awaited
async def test_tools_are_discovered_and_written_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "skills.json"
    entries = {
        "echo": {"command": list(bundled()["skill"].command), "idle_seconds": 7},
        "other": {"command": list(hostile("good").command), "tools": [{**TOOL, "name": "not fit"}]},
    }
    path.write_text(json.dumps({"skills": entries}))
    path.chmod(0o640)
    await discover(path)
    skills = catalog_file.read(path)
    assert skills["echo"].tools == bundled()["skill"].tools
    assert skills["echo"].idle_seconds == 7
    assert skills["other"].tools == (ACT,)
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208
    assert psutil.Process().children(recursive=True) == []
    assert await discovered(hostile("good")) == (ACT,)


@awaited
async def test_a_skill_that_cannot_be_asked_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "skills.json"
    given = {name: {"command": list(hostile(name).command)} for name in ("good", "ends_at_once")}
    path.write_text(json.dumps({"skills": given}))
    before = path.read_bytes()
    with pytest.raises(SettingsError, match=r"left as it is: skill 'ends_at_once'.*exit code 3"):
        await discover(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208
    assert psutil.Process().children(recursive=True) == []


def test_a_start_that_is_cancelled_at_any_moment_leaves_no_process_and_ends():
    """On the event loop of the server: uvloop forgets pipes that are being connected."""

    async def scenario():
        for number in range(40):
            client = SkillClient(
                bundled()["skill"], events=Events(), counts=Counts(), grace_seconds=1.0, lost=lambda *_: None
            )
            starting = asyncio.create_task(client.start())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(starting, number / 1000)
            async with asyncio.timeout(20):
                await client.close()
            assert not client.process.owner.alive
        assert psutil.Process().children() == []
        assert len(asyncio.all_tasks()) == 1

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
