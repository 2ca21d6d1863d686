"""What is remembered from look to look never makes a reading wrong: each is compared with what is read anew."""

import math
import os
import socket
import threading
import uuid
from dataclasses import asdict

import pytest

from leakcheck.model.reading import Process, totals
from leakcheck.probes import Setting, TreeView, _sock_diag, sockets
from leakcheck.probes._look import Kept, ProcessLook
from leakcheck.snapshots import Looker
from leakcheck.targets.tree import start_time


@pytest.fixture(autouse=True)
def _however_dear_it_is(monkeypatch):
    """Let a table be read at each look that holds other sockets, on a machine with however many."""
    monkeypatch.setattr(sockets, "_SHARE", math.inf)


@pytest.fixture
def me():
    """This process as a target."""
    pid = os.getpid()
    return Process(pid=pid, started=start_time(pid), role="python", command="pytest")


@pytest.fixture
def conversation():
    """A listening socket, and both ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as one:
        other, _ = listening.accept()
        with other:
            yield listening, one, other


def seen(looker, member):
    """All values and holders of one look, without times and without what moves by itself."""
    snapshot = looker.snapshot((member,))
    document = asdict(snapshot)
    for one in document["processes"]:
        one["values"] = {name: value for name, value in one["values"].items() if not name.startswith("memory.")}
    return document["processes"], document["tree"], document["unread"]


def states(looker, member):
    return {name[8:]: value for name, value in totals(looker.snapshot((member,))).items() if name.startswith("sockets")}


def test_a_descriptor_that_refers_to_something_else_under_the_same_number_is_seen(me, tmp_path):
    looker, read, write = Looker(Setting()), *os.pipe()
    try:
        before = totals(looker.snapshot((me,)))
        with (tmp_path / "file").open("wb") as file:
            os.dup2(file.fileno(), write)
        after = totals(looker.snapshot((me,)))
        assert after["fds.pipe"] == before["fds.pipe"] - 1
        assert after["fds.file"] == before["fds.file"] + 1
    finally:
        os.close(read)
        os.close(write)


def test_a_look_that_remembers_sees_what_a_first_look_sees(me, conversation, tmp_path):
    listening, _, other = conversation
    looker = Looker(Setting())
    kept, stop = [], threading.Event()
    thread = threading.Thread(target=stop.wait)
    steps = (
        lambda: kept.append((tmp_path / "file").open("wb")),
        (tmp_path / "file").unlink,
        thread.start,
        lambda: kept.extend((socket.create_connection(listening.getsockname()), listening.accept()[0])),
        lambda: kept.extend(socket.socketpair()),
        lambda: kept.append(socket.socket(type=socket.SOCK_DGRAM)),
        lambda: kept.pop().close(),
        lambda: kept.append(socket.socket()),
        other.close,
        lambda: None,
    )
    try:
        for step in steps:
            step()
            assert seen(looker, me) == seen(Looker(Setting()), me)
    finally:
        stop.set()
        thread.join()
        for one in kept:
            one.close()


def test_a_connection_that_changes_its_state_is_seen_when_the_kernel_is_asked_again(me, conversation, monkeypatch):
    _, one, other = conversation
    looker = Looker(Setting())
    before = states(looker, me)
    one.shutdown(socket.SHUT_WR)
    assert other.recv(1) == b""  # the end has arrived
    monkeypatch.setattr(sockets, "_SECONDS", 0.0)
    after = states(looker, me)
    assert after["close_wait"] == before["close_wait"] + 1
    assert after["established"] == before["established"] - 2
    assert after["other"] == before["other"] + 1


def test_known_connections_are_asked_for_by_address_and_new_ones_by_a_table(me, conversation, monkeypatch):
    asked, dump = [], _sock_diag.asked
    monkeypatch.setattr(_sock_diag, "asked", lambda inodes: asked.append(set(inodes)) or dump(inodes))
    monkeypatch.setattr(sockets, "_SECONDS", 0.0)
    looker = Looker(Setting())
    first = states(looker, me)
    assert states(looker, me) == first
    assert len(asked) == 1
    with socket.create_connection(conversation[0].getsockname()):
        assert states(looker, me)["established"] == first["established"] + 1
    assert len(asked) == 2


def test_two_listeners_on_one_port_are_both_counted(me, monkeypatch):
    monkeypatch.setattr(sockets, "_SECONDS", 0.0)
    looker = Looker(Setting())
    before = states(looker, me)
    with (
        socket.create_server(("127.0.0.1", 0), reuse_port=True) as first,
        socket.create_server(first.getsockname(), reuse_port=True),
    ):
        for _ in range(3):
            assert states(looker, me)["listen"] == before["listen"] + 2


def test_where_netlink_does_not_answer_the_printed_tables_say_the_same(me, conversation, monkeypatch):
    with_netlink = seen(Looker(Setting()), me)

    def mute(_):
        raise _sock_diag.UnansweredError

    monkeypatch.setattr(_sock_diag, "asked", mute)
    assert seen(Looker(Setting()), me) == with_netlink


@pytest.mark.parametrize("middle", ["\n", "\r", "\x0b", " ", "\n\n", "\xff"])
def test_a_unix_socket_with_any_name_does_not_end_the_look(middle, me):
    looker = Looker(Setting())
    before = states(looker, me)
    with socket.socket(socket.AF_UNIX) as odd:
        odd.bind(b"\0" + uuid.uuid4().hex.encode() + middle.encode("latin-1") + b"x")
        assert states(looker, me)["unix"] == before["unix"] + 1


def test_anonymous_memory_is_what_status_calls_so():
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # a process that does nothing, so that nothing moves between both readings
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    try:
        member = Process(pid=child, started=start_time(child), role="python", command="python")
        values = Looker(Setting()).snapshot((member,)).processes[0].values
        assert values["memory.anon"] == ProcessLook(child).kibibytes("RssAnon") * 1024 > 0
        assert 0 < values["memory.uss"] <= values["memory.pss"]
    finally:
        os.close(write)
        os.waitpid(child, 0)


def test_a_thread_that_came_is_counted_and_named_at_once(me):
    looker, stop = Looker(Setting()), threading.Event()
    before = looker.snapshot((me,)).processes[0].values["threads"]
    threads = [threading.Thread(target=stop.wait) for _ in range(3)]
    try:
        for number, thread in enumerate(threads, 1):
            thread.start()
            found = looker.snapshot((me,)).processes[0]
            assert found.values["threads"] == before + number
            assert sum(holder.count for holder in found.holders["threads"]) == before + number
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_what_was_made_is_made_again_only_of_something_else():
    kept, made = Kept(), []
    for source in (("a",), ("a",), ("b",), ("a",)):
        kept.again("x", source, lambda source=source: made.append(source))
    assert made == [("a",), ("b",), ("a",)]


def test_what_was_read_is_read_again_for_another_hint_and_when_it_is_old():
    kept, read = Kept(), []
    for hint, seconds in ((1, 60.0), (1, 60.0), (2, 60.0), (2, 0.0), (2, 60.0)):
        kept.lately("x", hint, lambda hint=hint: read.append(hint), seconds=seconds)
    assert read == [1, 2, 2]


def test_what_is_dear_is_not_read_at_each_hint():
    kept, read = Kept(), []
    for hint in range(3):
        kept.lately("x", hint, lambda: read.append(sum(range(100_000))), seconds=0.0, share=1e-9)
    assert len(read) == 1


def test_sockets_of_no_process_give_zeros():
    empty = TreeView(members=(), looks={}, parents={}, zombies=frozenset())
    assert {reading.value for reading in sockets.Probe(Setting()).read_tree(empty)} == {0}
