"""Procedures: what is refused before it runs, how a run ends, and that nothing of it is left."""

import asyncio
import copy
import itertools
import json
import time

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from mimo_server.errors import InvalidError, LimitError, NotFoundError, ProcedureError, SettingsError, SkillError
from mimo_server.procedures import files, steps
from mimo_server.procedures.definition import Procedure
from mimo_server.procedures.execution import MOST_VISITS, Execution
from mimo_server.procedures.executions import Procedures
from mimo_server.supervision.events import Events, Kind

DEADLINE = 10.0
"""Seconds after which a test has failed: nothing here takes one of them."""


class Memory:
    """Tools that work: memories in a dictionary, and skills that are functions."""

    def __init__(self):
        self.held = {}
        self.numbers = itertools.count(1)
        self.called = []
        self.skills = {"echo": lambda arguments: arguments}

    async def store(self, content, category, importance):
        number = next(self.numbers)
        self.held[number] = (content, category, importance)
        return number

    async def search(self, query, limit, min_similarity):
        found = [(number, 1.0) for number, held in self.held.items() if held[0] == query]
        return [hit for hit in found if hit[1] >= min_similarity][:limit]

    async def forget(self, number):
        return 0 if self.held.pop(number, None) is None else 1

    async def call_skill(self, skill, tool, arguments):
        self.called.append((skill, tool, arguments))
        answer = self.skills[skill](arguments)
        return await answer if asyncio.iscoroutine(answer) else answer


def state(step, on=None, timeout=None, /, **arguments):
    action = {"step": step, "arguments": arguments} | ({} if timeout is None else {"timeout_seconds": timeout})
    return {"action": action} | ({} if on is None else {"on": on})


def form(states, /, **fields):
    return {"name": "p", "version": "1.0", "initial": next(iter(states), "a"), "states": states, **fields}


def parse(states, /, **fields):
    return Procedure.parse(form(states, **fields))


def play(scenario, *procedures, tools=None, **options):
    """Run scenario(procedures) on a loop of its own; afterwards no task but its own may be left."""
    tools = tools or Memory()
    events = Events()

    async def main():
        async with asyncio.timeout(DEADLINE):
            own = Procedures({each.name: each for each in procedures}, tools, events, **options)
            async with own:
                answer = await scenario(own)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            assert own.bounds()[0].size == 0
            return answer

    return asyncio.run(main()), tools, events


async def until(holds):
    """Wait for a condition; `play` has the deadline."""
    while not holds():  # noqa: ASYNC110 -- what it waits for has no event
        await asyncio.sleep(0.002)


WAIT = parse({"first": {"on": {"go": "second"}}, "second": {"on": {"go": "end", "back": "first"}}, "end": {}})


# ---- definitions


GOOD = form({"a": state("log", {"success": "b"}, message="x"), "b": {}})
BAD = [
    # where in the good one, what is put there (... removes it), and what the message must say
    ([], [], "the procedure must be an object, not array"),
    (["name"], ..., "lacks 'name'"),
    (["version"], ..., "lacks 'version'"),
    (["initial"], ..., "lacks 'initial'"),
    (["states"], ..., "lacks 'states'"),
    (["color"], 1, "unknown field 'color'; there are only:"),
    (["name"], "P p", "name must be a-z"),
    (["name"], "a" * 65, "at most 64"),
    (["version"], "1", "version must be such as 1.0"),
    (["version"], "٣.٠", "version must be such as 1.0"),
    (["initial"], "nowhere", "initial 'nowhere' is none of its states"),
    (["initial"], None, "initial must be the name of a state"),
    (["deadline_seconds"], 0, "deadline_seconds must be a number from 0.05 to 86400"),
    (["deadline_seconds"], 86401, "deadline_seconds"),
    (["deadline_seconds"], float("nan"), "deadline_seconds"),
    (["deadline_seconds"], True, "deadline_seconds"),
    (["deadline_seconds"], "300", "deadline_seconds"),
    (["retries"], 11, "retries must be a number from 0 to 10"),
    (["retries"], -1, "retries"),
    (["retries"], 1.5, "whole number"),
    (["backoff_seconds"], 61, "backoff_seconds"),
    (["states"], {}, "states must be an object of 1 to 64, not 0"),
    (["states"], [], "states must be an object of 1 to 64, not array"),
    (["states"], {f"s{n}": {} for n in range(65)}, "not 65"),
    (["states", "Bad-Name"], {}, "the name of a state must be"),
    (["states", "a"], [], "state 'a' must be an object"),
    (["states", "a", "next"], "b", "state 'a' has an unknown field 'next'"),
    (["states", "a", "on"], {}, "leave it out to end there"),
    (["states", "a", "on"], ["b"], "on must be an object"),
    (["states", "a", "on", "success"], "c", "on.success leads to 'c', which is no state"),
    (["states", "a", "on", "success"], 7, "on.success leads to 7"),
    (["states", "a", "on", "Go!"], "b", "an event of on must be"),
    (["states", "a", "on", "go"], "b", "on has 'go', but log ends with success or error only"),
    (["states", "a", "on"], {"error": "b"}, "on lacks 'success'"),
    (["states", "b", "on"], {"go": "a"}, "no state ends it"),
    (["states", "lost"], {}, "state 'lost' is never reached from 'a'"),
    (["states", "a", "action"], "log", "state 'a': action must be an object"),
    (["states", "a", "action", "step"], "http_request", "is none of log, validate"),
    (["states", "a", "action", "step"], ["log"], "is none of log, validate"),
    (["states", "a", "action", "step"], ..., "lacks 'step'"),
    (["states", "a", "action", "arguments"], ..., "lacks 'arguments'"),
    (["states", "a", "action", "arguments"], {}, "arguments lacks 'message'"),
    (["states", "a", "action", "arguments", "level"], 1, "unknown field 'level'"),
    (["states", "a", "action", "arguments", "message"], "x" * 16384, "take 16399 bytes, more than 16384"),
    (["states", "a", "action", "arguments", "message"], float("inf"), "no JSON"),
    (["states", "a", "action", "timeout_seconds"], 0, "timeout_seconds must be a number from 0.01"),
    (["states", "a", "action", "timeout_seconds"], 1e999, "timeout_seconds"),
]


def test_the_definition_that_the_wrong_ones_are_made_of_is_right():
    procedure = Procedure.parse(GOOD)
    assert (procedure.deadline_seconds, procedure.retries, procedure.backoff_seconds) == (300, 3, 1)
    assert procedure.states["a"].action.timeout_seconds == 30
    assert dict(procedure.states["a"].on) == {"success": "b"}


@pytest.mark.parametrize(("path", "value", "says"), BAD)
def test_a_wrong_definition_is_refused_and_the_message_says_where_and_what_to_do(path, value, says):
    bad = copy.deepcopy(GOOD)
    if not path:
        bad = value
    else:
        inner = bad
        for key in path[:-1]:
            inner = inner[key]
        if value is ...:
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
    with pytest.raises(ProcedureError) as caught:
        Procedure.parse(bad)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 400


def test_arguments_that_are_nested_too_deep_are_refused_however_deep():
    for depth in (17, 100_000):
        nested = "x"
        for _ in range(depth):
            nested = [nested]
        with pytest.raises(ProcedureError, match="nested more than 16 deep"):
            parse({"a": state("log", message=nested)})
        while isinstance(
            nested, list
        ):  # piece by piece: so deep a list breaks the collector of 3.11 when it goes at once
            nested = nested.pop()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[NaN]", "NaN is no number of JSON"),
        (b'[{"name": "a", "name": "b"}]', "a key is there twice"),
        (b"{}", "an array"),
        (json.dumps([GOOD, GOOD]).encode(), "'p' is there twice"),
        (json.dumps([{**GOOD, "retries": 99}]).encode(), "procedure 'p': retries"),
        (b" " * (1024 * 1024 + 1), "bigger than"),
    ],
)
def test_a_wrong_file_is_refused_with_its_name(tmp_path, content, says):
    path = tmp_path / "procedures.json"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        files.read(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_a_settings_error(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read"):
        files.read(tmp_path / "none.json")


def test_a_file_gives_its_procedures_by_name(tmp_path):
    path = tmp_path / "procedures.json"
    path.write_text(json.dumps([GOOD, {**GOOD, "name": "q"}]))
    assert set(files.read(path)) == {"p", "q"}


# ---- the bundled ones


def test_remember_and_find_leaves_the_memories_as_they_were():
    async def scenario(own):
        return await own.run("remember_and_find", {"content": "blue heron"})

    run, tools, _ = play(scenario, *files.bundled().values())
    assert (run.status, run.error) == ("completed", None)
    assert run.context["ids"] == [run.context["id"]]
    assert run.context["forgotten"] == 1
    assert [visit.state for visit in run.history] == ["check_input", "remember", "find", "look", "forget"]
    assert tools.held == {}


def test_remember_and_find_fails_when_the_search_is_silently_empty():
    class Empty(Memory):
        async def search(self, query, limit, min_similarity):
            return []

    async def scenario(own):
        return await own.run("remember_and_find", {"content": "blue heron"})

    run, tools, _ = play(scenario, *files.bundled().values(), tools=Empty())
    assert (run.status, run.state) == ("failed", "lost")
    assert tools.held == {}


def test_wait_for_event_waits_in_its_second_state():
    async def scenario(own):
        run = await own.run("wait_for_event", wait=False)
        await until(lambda: run.status == "waiting")
        assert run.state == "waiting"
        assert own.send(run.id, "go", {"by": "me"}) is run
        assert run.status == "running"
        await run.ended.wait()
        return run

    run, _, _ = play(scenario, *files.bundled().values())
    assert (run.status, run.state, run.context["by"]) == ("completed", "done", "me")
    assert [visit.event for visit in run.history] == ["start", "success", "go"]


def test_retry_then_succeed_retries_twice():
    async def scenario(own):
        return await own.run("retry_then_succeed")

    run, _, _ = play(scenario, *files.bundled().values())
    assert (run.status, run.context["attempt"]) == ("completed", 3)


# ---- the two defects of the original


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_a_failing_action_is_retried_as_often_as_stated_and_then_the_run_fails(retries):
    tools = Memory()

    def broken(_):
        raise SkillError("no")

    tools.skills["bad"] = broken

    async def scenario(own):
        return await own.run("p")

    procedure = parse({"a": state("skill_call", skill="bad", tool="t")}, retries=retries, backoff_seconds=0.002)
    run, _, _ = play(scenario, procedure, tools=tools)
    assert len(tools.called) == retries + 1
    assert run.status == "failed"
    assert "state 'a': skill_call failed: no" in run.error


def test_the_wait_before_a_retry_doubles_and_is_shortened_by_chance_to_no_less_than_half():
    times = []
    tools = Memory()

    def broken(_):
        times.append(time.monotonic())
        raise SkillError("no")

    tools.skills["bad"] = broken

    async def scenario(own):
        return await own.run("p")

    play(scenario, parse({"a": state("skill_call", skill="bad", tool="t")}, backoff_seconds=0.1), tools=tools)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert len(gaps) == 3
    for gap, longest in zip(gaps, (0.1, 0.2, 0.4), strict=True):
        assert longest / 2 - 0.005 <= gap <= longest + 0.5


def test_the_deadline_ends_a_run_that_is_stuck_in_its_third_state():
    async def scenario(own):
        began = time.monotonic()
        run = await own.run("p")
        return run, time.monotonic() - began

    procedure = parse(
        {
            "a": state("log", {"success": "b"}, message="1"),
            "b": state("log", {"success": "c"}, message="2"),
            "c": {"on": {"never": "d"}},
            "d": {},
        },
        deadline_seconds=0.2,
    )
    (run, took), _, events = play(scenario, procedure)
    assert (run.status, run.state) == ("timed_out", "c")
    assert "deadline of 0.2 s" in run.error
    assert 0.19 <= took < 2
    assert events.counts[Kind.ALERT] == 1


def test_transitions_do_not_put_the_deadline_off():
    async def scenario(own):
        began = time.monotonic()
        run = await own.run("p")
        return run, time.monotonic() - began

    procedure = parse(
        {
            "a": state("delay", {"success": "b"}, seconds=0.01),
            "b": state("conditional", {"true": "a", "false": "end"}, left=1, operator="eq", right=1),
            "end": {},
        },
        deadline_seconds=0.2,
    )
    (run, took), _, _ = play(scenario, procedure)
    assert run.status == "timed_out"
    assert run.visits > 4
    assert took < 2


def test_the_deadline_ends_a_run_that_is_between_two_retries():
    async def scenario(own):
        return await own.run("p")

    procedure = parse({"a": state("validate", fields={"x": "string"})}, deadline_seconds=0.1, backoff_seconds=60)
    run, _, _ = play(scenario, procedure)
    assert run.status == "timed_out"


# ---- one run


def test_a_circle_of_steps_that_take_no_time_ends_at_the_bound_and_lets_others_in():
    async def scenario(own):
        turns = 0
        run = await own.run("p", wait=False)
        while not run.ended.is_set():
            await asyncio.sleep(0)
            turns += 1
        return run, turns

    procedure = parse(
        {"a": state("conditional", {"true": "a", "false": "end"}, left=1, operator="eq", right=1), "end": {}},
        retries=0,
    )
    (run, turns), _, _ = play(scenario, procedure)
    assert (run.status, run.visits) == ("failed", MOST_VISITS)
    assert "put a delay into the circle" in run.error
    assert len(run.history) == 64
    assert turns >= MOST_VISITS


def test_a_step_that_takes_too_long_fails_by_its_own_timeout():
    async def scenario(own):
        return await own.run("p")

    procedure = parse(
        {"a": state("delay", {"success": "end", "error": "sorry"}, 0.05, seconds=60), "sorry": {}, "end": {}}
    )
    run, _, _ = play(scenario, procedure)
    assert (run.status, run.state) == ("completed", "sorry")
    assert "delay failed: it took more than 0.05 s" in run.context["error"]


def test_a_tool_that_gives_up_waiting_is_not_taken_for_the_timeout_of_the_step():
    tools = Memory()

    def gives_up(_):
        raise TimeoutError("no answer in 3 s")

    tools.skills["slow"] = gives_up

    async def scenario(own):
        return await own.run("p")

    run, _, _ = play(scenario, parse({"a": state("skill_call", skill="slow", tool="t")}, retries=0), tools=tools)
    assert (run.status, run.error) == (
        "failed",
        "state 'a': skill_call failed: what it called gave up waiting (no answer in 3 s)",
    )


def test_a_state_with_a_way_out_of_an_error_takes_it_without_a_retry():
    async def scenario(own):
        return await own.run("p")

    procedure = parse(
        {"a": state("validate", {"success": "end", "error": "sorry"}, fields={"x": "string"}), "sorry": {}, "end": {}}
    )
    run, _, _ = play(scenario, procedure)
    assert (run.state, run.context["attempt"]) == ("sorry", 1)


def test_a_fault_of_the_server_ends_the_run_and_is_told():
    tools = Memory()
    tools.skills["bad"] = lambda _: {}["missing"]

    async def scenario(own):
        return await own.run("p")

    run, _, _ = play(scenario, parse({"a": state("skill_call", skill="bad", tool="t")}), tools=tools)
    assert (run.status, len(tools.called)) == ("failed", 1)
    assert "a fault of the server" in run.error
    assert "KeyError" in run.error


def test_arguments_take_what_the_context_has_and_two_dollars_are_one():
    async def scenario(own):
        return await own.run("p", {"who": {"name": "$untouched"}})

    procedure = parse(
        {"a": state("skill_call", skill="echo", tool="t", arguments={"x": ["$who"], "price": "$$5", "plain": "a$b"})}
    )
    run, _, _ = play(scenario, procedure)
    assert run.context["answer"] == {"x": [{"name": "$untouched"}], "price": "$5", "plain": "a$b"}


def test_an_answer_that_is_too_big_for_the_context_fails_the_step():
    tools = Memory()
    tools.skills["big"] = lambda _: "x" * 20_000

    async def scenario(own):
        return await own.run("p")

    procedure = parse({"a": state("skill_call", skill="big", tool="t")}, retries=0)
    run, _, _ = play(scenario, procedure, tools=tools)
    assert run.status == "failed"
    assert "more than 16384" in run.error


@pytest.mark.parametrize("context", [{"x": float("nan")}, {"x": object()}, {"x": "y" * 16_384}, {"x": {1, 2}}])
def test_a_context_that_is_no_json_or_too_big_is_refused_before_anything_runs(context):
    async def scenario(own):
        with pytest.raises(InvalidError, match="the context"):
            await own.run("p", context)
        assert own.list() == ()

    play(scenario, WAIT)


def test_a_run_shares_nothing_with_the_context_that_it_was_given():
    async def scenario(own):
        given_context = {"x": [1]}
        run = await own.run("p", given_context, wait=False)
        given_context["x"].append(2)
        assert run.context == {"x": [1]}

    play(scenario, WAIT)


@pytest.mark.parametrize(
    ("left", "operator", "right", "expected"),
    [
        (1, "eq", 1.0, True),
        (1, "eq", True, False),
        (1, "ne", True, True),
        (None, "eq", None, True),
        ([1], "eq", [1], True),
        (2, "gt", 1, True),
        (1, "gt", 1, False),
        (1, "gte", 1, True),
        ("a", "lt", "b", True),
        (1, "lte", 0, False),
        ([1, 2], "contains", 2, True),
        ("heron", "contains", "ero", True),
        ({"k": 1}, "contains", "k", True),
        ("x", "in", ["y"], False),
        ("x", "in", "xyz", True),
    ],
)
def test_values_are_compared_as_json_has_them(left, operator, right, expected):
    assert steps.compare(left, operator, right) is expected


@pytest.mark.parametrize(
    ("left", "operator", "right"),
    [(1, "gt", "0"), (True, "lt", 2), (None, "gte", 1), ("1", "contains", 1), (5, "contains", 1), (1, "==", 1)],
)
def test_a_comparison_that_says_nothing_is_an_error(left, operator, right):
    with pytest.raises(InvalidError):
        steps.compare(left, operator, right)


@pytest.mark.parametrize(
    ("step", "arguments", "says"),
    [
        ("log", {"message": 1}, "message must be a string"),
        ("delay", {"seconds": -1}, "seconds must be a number from 0"),
        ("delay", {"seconds": True}, "seconds must be a number"),
        ("set_context", {"values": []}, "values must be an object"),
        ("memory_store", {"content": "x", "importance": 2}, "importance must be a number from 0 to 1"),
        ("memory_search", {"query": "x", "limit": 101}, "limit must be a number from 1 to 100"),
        ("memory_forget", {"id": True}, "id must be a memory's id"),
        ("memory_forget", {"id": "$nothing"}, "'nothing' is not in the context"),
        ("validate", {"fields": {"x": "number"}}, "context.x must be a number, not nothing"),
        ("validate", {"fields": {}, "at_least": {"attempt": 5}}, "it must be at least 5"),
    ],
)
def test_a_step_with_wrong_arguments_fails_and_says_which(step, arguments, says):
    async def scenario(own):
        return await own.run("p")

    run, _, _ = play(scenario, parse({"a": state(step, **arguments)}, retries=0))
    assert run.status == "failed"
    assert says in run.error


# ---- events and interrupts


def test_an_event_that_does_not_fit_is_refused_with_those_that_do():
    async def scenario(own):
        run = await own.run("p", wait=False)
        with pytest.raises(ProcedureError, match="waits for no event"):
            own.send(run.id, "go")  # it has not come so far
        await until(lambda: run.status == "waiting")
        with pytest.raises(ProcedureError, match="'back' does not fit state 'first'; send one of: go"):
            own.send(run.id, "back")
        with pytest.raises(InvalidError, match="more than 16384"):
            own.send(run.id, "go", {"x": "y" * 20_000})
        own.send(run.id, "go")
        with pytest.raises(ProcedureError, match="waits for no event"):
            own.send(run.id, "go")  # the first has not been taken yet, and must not be overwritten
        await until(lambda: run.state == "second" and run.status == "waiting")
        own.send(run.id, "go")
        await run.ended.wait()
        with pytest.raises(ProcedureError, match="is completed in state 'end'"):
            own.send(run.id, "go")
        with pytest.raises(NotFoundError, match="no execution 'nobody'"):
            own.send("nobody", "go")

    play(scenario, WAIT)


def test_an_interrupt_ends_a_run_wherever_it_is_and_its_first_reason_stands():
    async def scenario(own):
        begun, waiting = await own.run("p", wait=False), await own.run("p", wait=False)
        own.interrupt(begun.id, "at once")  # before its task could begin
        await until(lambda: waiting.status == "waiting")
        own.interrupt(waiting.id, "enough")
        own.interrupt(waiting.id, "more than enough")
        await asyncio.gather(begun.ended.wait(), waiting.ended.wait())
        assert (begun.status, begun.error) == ("interrupted", "at once")
        assert (waiting.status, waiting.error) == ("interrupted", "enough")
        assert own.interrupt(waiting.id, "again").error == "enough"
        await until(lambda: own.bounds()[0].size == 0)

    play(scenario, WAIT)


def test_a_caller_that_goes_away_while_it_waits_takes_its_run_along():
    async def scenario(own):
        caller = asyncio.create_task(own.run("p"))
        await until(lambda: own.list() and own.list()[0].status == "waiting")
        (run,) = own.list()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        await run.ended.wait()
        assert (run.status, run.error) == ("interrupted", "its caller went away")
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    play(scenario, WAIT)


def test_the_end_of_the_server_interrupts_all_and_waits_for_them():
    async def scenario(own):
        return [await own.run("p", wait=False) for _ in range(20)]

    runs, _, _ = play(scenario, WAIT)
    assert {(run.status, run.error) for run in runs} == {("interrupted", "the server is ending")}


def test_an_end_that_is_cancelled_twice_still_leaves_nothing():
    async def main():
        started = asyncio.Event()

        async def server():
            async with Procedures({"p": WAIT}, Memory(), Events()) as own:
                for _ in range(20):
                    await own.run("p", wait=False)
                started.set()
                await asyncio.Event().wait()

        serving = asyncio.create_task(server())
        await started.wait()
        serving.cancel()
        await asyncio.sleep(0)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        async with asyncio.timeout(DEADLINE):
            await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    asyncio.run(main())


def test_nothing_starts_before_the_beginning_or_after_the_end():
    async def main():
        own = Procedures({"p": WAIT}, Memory(), Events())
        with pytest.raises(ProcedureError, match="not running"):
            await own.run("p")
        async with own:
            pass
        with pytest.raises(ProcedureError, match="not running"):
            await own.run("p")

    asyncio.run(main())


# ---- bounds


def test_of_200_runs_at_once_100_are_refused_by_type_and_the_others_run():
    async def scenario(own):
        answers = await asyncio.gather(*(own.run("p", wait=False) for _ in range(200)), return_exceptions=True)
        runs = [answer for answer in answers if isinstance(answer, Execution)]
        assert [type(answer) for answer in answers if not isinstance(answer, Execution)] == [LimitError] * 100
        assert len(runs) == 100
        await until(lambda: all(run.status == "waiting" for run in runs))
        assert await own.check() == "all 100 executions are in use"
        for _ in range(2):
            for run in runs:
                own.send(run.id, "go")
            await until(lambda: all(run.ended.is_set() or run.state == "second" for run in runs))
            await until(lambda: all(run.status in {"waiting", "completed"} for run in runs))
        await until(lambda: own.bounds()[0].size == 0)
        bound, kept = own.bounds()
        assert (bound.name, bound.limit, bound.high_water, bound.rejected) == ("executions", 100, 100, 100)
        assert (kept.name, kept.size, kept.limit) == ("executions_kept", 100, 1000)
        assert await own.check() is None
        assert (await own.run("quick")).status == "completed"

    play(scenario, WAIT, parse({"a": {}}, name="quick"))


def test_ended_runs_are_kept_up_to_the_limit_and_the_oldest_go():
    async def scenario(own):
        runs = [await own.run("p") for _ in range(7)]
        assert {run.status for run in runs} == {"completed"}
        assert own.list() == tuple(runs[-3:])
        assert own.status(runs[-1].id) is runs[-1]
        with pytest.raises(NotFoundError, match="any more: 3 ended ones are kept"):
            own.status(runs[0].id)
        assert (own.bounds()[1].size, own.bounds()[1].high_water) == (3, 3)

    play(scenario, parse({"a": {}}), kept=3)


def test_a_caller_that_waited_finds_its_place_free_again():
    async def scenario(own):
        assert [(await own.run("p")).status for _ in range(20)] == ["completed"] * 20
        assert (own.bounds()[0].high_water, own.bounds()[0].rejected) == (1, 0)

    play(scenario, parse({"a": {}}), limit=1)


def test_none_is_kept_where_none_may_be():
    async def scenario(own):
        assert (await own.run("p")).status == "completed"
        assert own.list() == ()

    play(scenario, parse({"a": {}}), kept=0)


def test_ended_runs_are_kept_for_their_time():
    now = [0.0]

    async def scenario(own):
        first = await own.run("p")
        now[0] = 59
        second = await own.run("p")
        assert own.list() == (first, second)
        now[0] = 60
        assert own.list() == (second,)
        assert own.bounds()[1].size == 1
        now[0] = 119
        assert own.bounds()[1].size == 0

    play(scenario, parse({"a": {}}), kept_seconds=60, clock=lambda: now[0])


def test_a_run_that_outlives_its_deadline_is_a_problem():
    class Deaf(Execution):
        """The original's: the first transition takes the deadline off."""

        def enter(self, state, event):
            super().enter(state, event)
            if self.visits == 2:
                self.deadline.reschedule(None)

    async def scenario(own):
        own.execution = Deaf
        run = await own.run("p", wait=False)
        assert await own.check() is None
        await until(lambda: run.seconds() > 0.05 + 1)
        assert await own.check() == f"1 executions run past their deadline, such as {run.id}"
        assert run.status == "waiting"

    play(
        scenario,
        parse(
            {"a": state("log", {"success": "b"}, message="x"), "b": {"on": {"go": "c"}}, "c": {}}, deadline_seconds=0.05
        ),
    )


# ---- whatever the definition


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["a", "b", "log"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
PLACES = [path for path, _, _ in BAD if path]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), JSON)
def test_whatever_stands_anywhere_in_a_definition_is_accepted_or_refused_as_a_procedure_error(path, value):
    made = copy.deepcopy(GOOD)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    try:
        said = Procedure.parse(made).version
    except ProcedureError as error:
        said = str(error)
    assert 0 < len(said) < 500


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_stands_in_a_file_is_accepted_or_refused_as_a_procedure_error(content):
    try:
        assert files.parsed(content) == {}
    except ProcedureError:
        event("refused")


@st.composite
def definitions(draw):
    """Small machines: states s0..sn and an end, each with a step or a waiting; what is not reached is left out."""
    count = draw(st.integers(1, 5))
    names = [*(f"s{number}" for number in range(count)), "end"]
    target = st.sampled_from(names)
    made = {"end": {}}
    for name in names[:-1]:
        kind = draw(st.sampled_from(["wait", "log", "delay", "fail", "choose"]))
        if kind == "wait":
            made[name] = {"on": draw(st.dictionaries(st.sampled_from(["go", "stop"]), target, min_size=1))}
        elif kind == "choose":
            on = {"true": draw(target), "false": draw(target)}
            made[name] = state("conditional", on, left="$attempt", operator="eq", right=draw(st.integers(0, 2)))
        else:
            arguments = {
                "log": {"message": "x"},
                "delay": {"seconds": draw(st.sampled_from([0, 0.01, 5]))},
                "fail": {"fields": {"absent": "string"}},
            }[kind]
            on = {"success": draw(target)} | draw(st.sampled_from([{}, {"error": draw(target)}]))
            made[name] = state("validate" if kind == "fail" else kind, on, 0.03, **arguments)
    reached, ahead = {"s0"}, ["s0"]
    while ahead:
        new = set(made[ahead.pop()].get("on", {}).values()) - reached
        reached |= new
        ahead += new
    assume("end" in reached)
    made = {name: made[name] for name in sorted(reached)}
    return form(made, initial="s0", deadline_seconds=0.15, retries=draw(st.integers(0, 3)), backoff_seconds=0.01)


@settings(max_examples=80, deadline=None)
@given(definitions())
def test_every_procedure_that_is_accepted_ends_within_its_deadline(definition):
    procedure = Procedure.parse(definition)

    async def scenario(own):
        return await own.run("p")

    run, _, _ = play(scenario, procedure)
    event(run.status)
    assert run.status in {"completed", "failed", "timed_out"}
    assert run.seconds() < 0.15 + 1
    assert (run.error is None) == (run.status == "completed")
