import os
import re
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

import pytest

from leakcheck.credentials import Secrets
from leakcheck.drivers import relay
from leakcheck.drivers.copies import KINDS
from leakcheck.drivers.job import Job
from leakcheck.drivers.jsonrpc import Conversation
from leakcheck.drivers.lines import Lines, TooLong
from leakcheck.drivers.messages import Expect, Operation, encoded, failure, plain_success
from leakcheck.drivers.operations import interleaved
from leakcheck.drivers.stdio import StdioDriver
from leakcheck.errors import NotReady, TargetDied, TargetError, UsageError
from leakcheck.model.plan import AuditPlan, DriverKind, ToolChoice
from leakcheck.targets.spawn import Spawned

PROGRAMS = Path(__file__).with_name("programs")
GOOD = (sys.executable, "-I", "-S", str(PROGRAMS / "mcp_good.py"))
BAD = (sys.executable, "-I", "-S", str(PROGRAMS / "mcp_bad.py"))
RELAY = (sys.executable, "-I", "-S", relay.__file__)
QUICK = "echo,nap"
pytestmark = pytest.mark.share(2)


@pytest.fixture
def opened(tmp_path):
    """Start a command and a driver on it; both are closed at the end of the test."""
    outer = ExitStack()
    secrets = Secrets(("s3cr3t-value",))

    def start(command, *, ready=10.0, grace=1.0, stack=outer, **tools):
        plan = AuditPlan(
            command=command,
            pid=None,
            driver=DriverKind.STDIO,
            tools=ToolChoice(**tools),
            ready_timeout_seconds=ready,
            grace_seconds=grace,
        )

        def start_copy(*, through=(), environment=MappingProxyType({})):
            return Spawned(
                (*through, *command),
                pipes=True,
                environment=environment,
                cwd=None,
                log_path=tmp_path / "target.log",
                secrets=secrets,
                grace_seconds=grace,
            )

        target = stack.enter_context(start_copy(environment={"TMPDIR": str(tmp_path)}))
        driver = StdioDriver(plan, secrets, start_copy)
        stack.callback(driver.close)
        return driver, target, driver.open(target)

    with outer:
        yield start
    assert not [thread for thread in threading.enumerate() if thread.name == "leakcheck-stdio"]


def good(*faults):
    return (*GOOD, *faults)


def reasons(opened):
    return {left.operation: left.reason for left in opened.not_played}


def test_the_server_names_itself_and_its_protocol(opened):
    _, _, seen = opened(good(f"--only={QUICK}"))
    assert seen.server == "good 1.2"
    assert seen.protocol == "MCP 2025-11-25 over stdio"
    assert seen.operations == ("call:echo", "call:nap", "reject", "cancel")
    assert seen.warnings == ()
    assert seen.writes == ()


def test_each_tool_is_tried_once_and_left_out_by_name_with_the_reason(opened):
    _, _, seen = opened(good())
    assert seen.operations == ("call:echo", "call:nap", "reject", "cancel")
    assert "not declared closed-world" in reasons(seen)["call:search_web"]
    assert "not declared read-only" in reasons(seen)["call:store"]
    assert "not declared read-only" in reasons(seen)["call:forget"]
    assert "isError: out of order" in reasons(seen)["call:broken"]
    assert "no answer within 2 s" in reasons(seen)["call:slow"]
    assert "it asks the client for sampling/createMessage" in reasons(seen)["call:sampler"]
    assert "--arguments coded=JSON" in reasons(seen)["call:coded"]


def test_a_named_tool_is_called_whatever_it_declares_and_counted_as_writing(opened):
    _, _, seen = opened(good("--only=echo,store"), named=("store",))
    assert {"call:echo", "call:store"} <= set(seen.operations)
    assert "call:store" in seen.writes
    assert "call:echo" not in seen.writes


def test_open_world_and_destructive_tools_are_called_when_allowed(opened):
    _, _, seen = opened(good("--only=echo,store,search_web"), allow_open_world=True, allow_destructive=True)
    assert {"call:echo", "call:store", "call:search_web"} <= set(seen.operations)


@pytest.mark.parametrize(
    "tools",
    [{"named": ("shred",)}, {"undo": {"shred": {}}}, {"arguments": {"shred": {}}}],
    ids=lambda tools: next(iter(tools)),
)
def test_a_tool_that_does_not_exist_is_a_usage_error_naming_those_that_do(opened, tools):
    with pytest.raises(UsageError, match=r"shred.*echo, nap"):
        opened(good(f"--only={QUICK}"), **tools)


def test_with_no_callable_tool_that_is_said_and_the_rest_is_played(opened):
    driver, _, seen = opened(good("--only=store,forget"))
    assert reasons(seen)["call:*"].startswith("0 of 2 tools called: none is declared read-only and closed-world")
    assert seen.operations == ("reject", "cancel")
    assert driver.play({"reject": 8, "cancel": 3}).failed == {}


def test_every_operation_asked_for_is_done_and_none_fails(opened):
    driver, _, _ = opened(good(f"--only={QUICK}"))
    doses = {"call:echo": 200, "call:nap": 9, "reject": 20, "cancel": 11}
    for _ in range(2):
        played = driver.play(doses)
        assert played.done == doses
        assert played.failed == {}
        assert played.problem is None
        assert played.seconds["call:nap"] >= 9 * 0.02


def test_nothing_is_done_by_an_empty_dose(opened):
    driver, _, _ = opened(good(f"--only={QUICK}"))
    assert driver.play({}).done == {}


def test_a_late_answer_to_a_cancelled_call_is_dropped(opened):
    driver, _, _ = opened(good(f"--only={QUICK}"))
    assert driver.play({"cancel": 6}).failed == {}
    time.sleep(0.05)  # the naps of 0.02 s are answered meanwhile
    assert driver.play({"call:echo": 10}).failed == {}


def test_undo_is_played_and_its_tool_is_not_part_of_a_round(opened):
    driver, _, seen = opened(good("--only=echo,store,forget"), named=("store",), undo={"forget": {}})
    assert "call:forget" not in seen.operations
    driver.undo()
    assert driver.play({"call:store": 1}).problem is None


def test_an_undo_that_fails_is_told_by_the_next_round(opened):
    driver, _, _ = opened(good("--only=echo,broken"), undo={"broken": {}})
    driver.undo()
    assert "undo: call of 'broken': isError: out of order" in driver.play({"call:echo": 1}).problem


def test_a_banner_is_tolerated_with_a_warning(opened):
    _, _, seen = opened(good(f"--only={QUICK}", "--banner"))
    assert "2 lines on stdout that are not JSON-RPC" in seen.warnings[0]
    assert "Welcome to the good server" in seen.warnings[0]


def test_an_older_protocol_is_accepted_and_named(opened):
    _, _, seen = opened(good(f"--only={QUICK}", "--version=2024-11-05"))
    assert seen.protocol == "MCP 2024-11-05 over stdio"


def test_an_unknown_protocol_is_not_ready_with_what_is_spoken(opened):
    with pytest.raises(NotReady, match=r"1999-01-01.*2025-11-25"):
        opened(good("--version=1999-01-01"))


def test_a_flood_of_notifications_does_not_stop_the_conversation(opened):
    driver, _, _ = opened(good("--only=echo", "--flood"))
    assert driver.play({"call:echo": 20}).failed == {}


def test_large_answers_are_matched(opened):
    driver, _, _ = opened(good("--only=echo", "--big=300000"))
    assert driver.play({"call:echo": 20}).failed == {}


def test_a_program_that_exits_at_once_is_a_death_with_its_code_and_last_lines(opened):
    with pytest.raises(TargetDied, match=r"(?s)exit code 3 during initialize.*no licence found"):
        opened((*BAD, "exit"))


def test_a_program_that_never_answers_is_not_ready(opened):
    with pytest.raises(NotReady, match=r"did not answer initialize within 0.5 s.*--ready-timeout"):
        opened((*BAD, "silent"), ready=0.5)


def test_garbage_is_quoted_with_control_characters_escaped(opened):
    with pytest.raises(NotReady, match=re.escape(r"answered garbage: 'Hello, \x1b[31mthis")):
        opened((*BAD, "garbage"), ready=0.5)


def test_a_program_that_only_logs_is_refused_before_the_timeout(opened):
    begun = time.monotonic()
    with pytest.raises(NotReady, match="answered garbage: 'log line 0'"):
        opened((*BAD, "chatter"), ready=30)
    assert time.monotonic() - begun < 10


def test_a_refusal_to_initialize_is_not_ready(opened):
    with pytest.raises(NotReady, match="error -32600: go away"):
        opened((*BAD, "refuse"))


def test_an_answer_over_the_bound_is_a_failure_and_not_kept(opened):
    with pytest.raises(NotReady, match="garbage"):
        opened((*BAD, "endless"), ready=5)


def test_a_server_that_dies_under_load_is_a_death_with_its_code(opened):
    driver, _, _ = opened(good(f"--only={QUICK}", "--dies-after=30"))
    with pytest.raises(TargetDied, match=r"(?s)exit code 7 during the load.*the end is near"):
        driver.play({"call:echo": 200})


def test_a_server_that_stops_answering_ends_the_round_early(opened):
    driver, _, _ = opened(good("--only=echo", "--silent-after=20"))
    operations = interleaved(driver._inputs, {"call:echo": 500})
    job = driver._peer.play(Job(operations, seconds=0.3), "the load")
    assert 0 < job.done["call:echo"] < 60
    assert job.failed["call:echo"] >= 3
    assert "no answer within 0.3 s" in job.problem


def test_a_well_behaved_server_leaves_nothing_in_any_way_of_ending(opened):
    driver, _, _ = opened(good(f"--only={QUICK}"))
    copies = []
    for copy in driver.copies(60):
        copies.append(copy)
        if len(copy_kinds(copies)) == 3 and copy.number == 2 and copy.operation == KINDS[-1]:
            break
    assert [(copy.operation, copy.number) for copy in copies] == [(kind, number) for number in (1, 2) for kind in KINDS]
    assert all(copy.left == () and copy.ended_seconds < 1 and not copy.needed_signal for copy in copies)


def copy_kinds(copies):
    return {copy.operation for copy in copies}


def first_of_each(driver):
    copies = driver.copies(60)
    found = {}
    for copy in copies:
        if copy.operation in found:
            break
        found[copy.operation] = copy
    copies.close()
    return found


def test_a_server_that_ignores_the_end_of_stdin_leaves_itself_unless_it_gets_a_signal(opened):
    driver, _, _ = opened(good(f"--only={QUICK}", "--ignores-eof"), grace=0.6)
    found = first_of_each(driver)
    assert found["session"].needed_signal
    assert found["session"].left == ()
    assert 0.3 <= found["session"].ended_seconds <= 0.6
    for kind in ("abandon", "disconnect"):
        assert found[kind].ended_seconds is None
        assert [left.what for left in found[kind].left] == ["process"]
        assert not found[kind].needed_signal


def test_a_child_in_a_session_of_its_own_is_left_in_all_three_ways(opened):
    driver, _, _ = opened(good(f"--only={QUICK}", "--leaves-child"), grace=0.4)
    for copy in first_of_each(driver).values():
        assert copy.ended_seconds < 0.4
        assert [left.what for left in copy.left] == ["process"]


def test_files_left_in_the_temporary_directory_are_named_and_a_shared_cache_is_not(opened):
    driver, _, _ = opened(good(f"--only={QUICK}", "--leaves-file", "--shares-cache"))
    found = first_of_each(driver)
    assert found["session"].left == ()  # the first copy fills caches
    for kind in ("abandon", "disconnect"):
        assert [left.what for left in found[kind].left] == ["file"]
        assert found[kind].left[0].name.startswith("left-")


def test_copies_stop_when_the_time_is_up(opened):
    driver, _, _ = opened(good(f"--only={QUICK}", "--ignores-eof"), grace=0.6)
    begun = time.monotonic()
    copies = list(driver.copies(2.0))
    assert copies
    assert time.monotonic() - begun < 3.5


def test_a_copy_that_cannot_start_is_an_error_that_names_the_kind(opened, tmp_path):
    driver, _, _ = opened(good(f"--only={QUICK}", f"--once={tmp_path / 'lock'}"))
    with pytest.raises(TargetError, match="session: no further copy"):
        next(driver.copies(10))


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_the_driver_and_its_copies_leave_no_descriptor_and_no_thread_in_us(opened):
    before = descriptors(), threading.active_count()
    with ExitStack() as stack:
        driver, _, _ = opened(good(f"--only={QUICK}"), stack=stack)
        driver.play({"call:echo": 5})
        assert len(first_of_each(driver)) == 3
    assert (descriptors(), threading.active_count()) == before


def test_a_server_that_does_not_read_cannot_block_the_conversation():
    (unread, stdin), (stdout, unwritten) = os.pipe(), os.pipe()
    with os.fdopen(stdin, "wb", 0) as ours, os.fdopen(stdout, "rb", 0) as theirs:
        conversation = Conversation(ours, theirs)
        try:
            conversation.post(b"x" * 500_000 + b"\n")
            large = Operation(kind="call:x", words="x", request=encoded("x", {"text": "y" * 200_000}))
            job = conversation.play(Job([large] * 50, seconds=0.2), lambda: None)
            assert job.done["call:x"] == job.failed["call:x"] < 50
        finally:
            conversation.close()
    os.close(unread)
    os.close(unwritten)


def test_the_relay_passes_bytes_both_ways_and_the_exit_code_on():
    text = os.urandom(3_000_000)
    assert subprocess.run([*RELAY, "cat"], input=text, capture_output=True, check=True).stdout == text
    assert subprocess.run([*RELAY, "sh", "-c", "exit 5"], check=False).returncode == 5
    missing = subprocess.run([*RELAY, "/no/such/command"], capture_output=True, check=False)
    assert missing.returncode == 127
    assert b"cannot be started" in missing.stderr


def test_a_credential_in_an_error_is_hidden_before_the_text_is_cut(opened):
    name = "x" * 2 + "s3cr3t-value"
    _, _, seen = opened(
        good("--only=echo", "--complains=" + "y" * 190 + name), arguments={"echo": {"text": "complain"}}
    )
    assert "s3cr3t" not in reasons(seen)["call:echo"]
    assert "isError: yyy" in reasons(seen)["call:echo"]


def test_kinds_are_interleaved_evenly_and_each_replays_its_inputs_from_the_first():
    def operation(kind, words):
        return Operation(kind=kind, words=words, request=b"")

    inputs = {"a": (operation("a", "a1"),), "b": (operation("b", "b1"), operation("b", "b2"), operation("b", "b3"))}
    played = ["a1", "b1", "a1", "a1", "b2", "a1"]
    for _ in range(2):
        assert [one.words for one in interleaved(inputs, {"b": 2, "a": 4})] == played
    assert [one.words for one in interleaved(inputs, {"b": 4, "a": 0})] == ["b1", "b2", "b3", "b1"]


def test_lines_come_out_whole_however_the_chunks_fall():
    text = b"one\n\ntwo\r\nthree\n"
    for size in range(1, len(text)):
        lines = Lines()
        found = [line for at in range(0, len(text), size) for line in lines.feed(text[at : at + size])]
        assert found == [b"one", b"two", b"three"]


def test_a_line_over_the_bound_is_reduced_to_its_edges_and_the_next_is_whole():
    lines = Lines(longest=1000)
    found = lines.feed(b"head" + b"x" * 900)
    for _ in range(10):
        found += lines.feed(b"y" * 900)
    found += lines.feed(b"tail\nnext\n")
    assert isinstance(found[0], TooLong)
    assert found[0].edges.startswith(b"head")
    assert found[0].edges.endswith(b"tail")
    assert found[1:] == [b"next"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":7,"result":{"content":[{"text":"%b"}],"isError":false}}',
        b'{"result":{"content":[{"text":"%b"}]},"jsonrpc":"2.0","id":7}',
    ],
)
def test_a_long_success_is_matched_without_decoding(line):
    assert plain_success(line % (b"x" * 4000)) == 7


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":7,"result":{"isError": true,"content":[{"text":"%b"}]}}',
        b'{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"%b"}}',
        b'{"result":{"content":[{"text":"%b"}],"isError":true},"jsonrpc":"2.0","id":7}',
        b'{"error":{"message":"%b","x":{"result":1}},"jsonrpc":"2.0","id":7}',
        b'{"method":"x","params":{"text":"%b"},"jsonrpc":"2.0","id":7}',
        b'{"jsonrpc":"2.0","id":7,"result":{"content":[{"text":"%b',
    ],
)
def test_what_may_be_an_error_is_always_decoded(line):
    assert plain_success(line % (b"x" * 4000)) is None


def test_an_error_is_what_must_come_where_it_is_expected():
    error = {"id": 1, "error": {"code": -32601, "message": "no"}}
    flagged = {"id": 1, "result": {"isError": True, "content": []}}
    result = {"id": 1, "result": {}}
    assert failure(error, Expect.ERROR) is None
    assert failure(flagged, Expect.ERROR) is None
    assert "was accepted" in failure(result, Expect.ERROR)
    assert failure(error, Expect.RESULT) == "error -32601: no"
    assert "isError" in failure(flagged, Expect.RESULT)
    assert failure(result, Expect.RESULT) is None
    assert failure({"id": 1}, Expect.RESULT) is not None


def test_pipes_closed_by_an_interrupted_owner_end_the_conversation_without_a_traceback(capfd):
    (unread, stdin), (stdout, unwritten) = os.pipe(), os.pipe()
    ours, theirs = os.fdopen(stdin, "wb", 0), os.fdopen(stdout, "rb", 0)
    conversation = Conversation(ours, theirs)
    ours.close()
    theirs.close()
    conversation.post(b"{}\n")  # rings the bell: the thread looks at its pipes again
    job = conversation.play(Job([Operation(kind="call:x", words="x", request=encoded("x"))], seconds=5.0), lambda: None)
    conversation.close()
    os.close(unread)
    os.close(unwritten)
    assert not job.done
    assert "Traceback" not in capfd.readouterr().err
