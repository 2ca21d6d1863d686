"""The load's own HTTP: what servers may answer, and what no server may."""

import socket
import threading

import pytest

from loadtests.http_wire import ClosedError, GarbageError, Pool

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def server():
    """Answers request after request with what it was given, one list of pieces per connection; keeps what it heard."""
    listener = socket.create_server(("127.0.0.1", 0))
    heard, threads = [], []

    def serve(*connections):
        def work():
            for answers in connections:
                wire, _ = listener.accept()
                with wire:
                    for pieces in answers:
                        heard.append(request(wire))
                        for piece in pieces:
                            wire.sendall(piece)

        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"

    serve.heard = heard
    yield serve
    for one in threads:
        one.join(10)
    listener.close()


def request(wire):
    got = b""
    while b"\r\n\r\n" not in got:
        got += wire.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0].split(b":")[1]):
        body += wire.recv(65536)
    return head.decode(), body


def ask(pool):
    line = pool.ask("POST", {"Accept": "text/plain"}, b"{}")
    try:
        body = b"".join(iter(line.response.read, b""))
    finally:
        line.release()
    return line.response.status_code, body


@pytest.mark.parametrize(
    ("pieces", "status", "body"),
    [
        ([OK], 200, b"ok"),
        ([bytes([one]) for one in OK], 200, b"ok"),
        (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n"],
            200,
            b"abcde",
        ),
        ([b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK], 200, b"ok"),
        ([b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK], 200, b"ok"),
        ([b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"], 202, b""),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b""),
        ([b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nbad"], 500, b"bad"),
    ],
)
def test_an_answer_is_read_to_its_end_and_the_connection_is_kept(server, pieces, status, body):
    pool = Pool(server([pieces, [OK]]), {"Authorization": "Bearer x"}, 5)
    assert ask(pool) == (status, body)
    assert ask(pool) == (200, b"ok"), "over the same connection: the server takes no second one"
    pool.drop()
    for head, sent in server.heard:
        assert head.splitlines()[0] == "POST /mcp HTTP/1.1"
        assert "Authorization: Bearer x" in head.splitlines()
        assert sent == b"{}"


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"HTTP/1.0 200 OK\r\nContent-Length: 13\r\n\r\nuntil the end"]
)
def test_a_connection_that_ends_with_its_answer_is_not_kept(server, answer):
    pool = Pool(server([[answer]], [[OK]]), {}, 5)
    assert ask(pool) == (200, b"until the end")
    assert ask(pool) == (200, b"ok")
    pool.drop()


@pytest.mark.parametrize(
    ("pieces", "error"),
    [
        ([b"SSH-2.0-OpenSSH\r\n"], GarbageError),
        ([OK + OK], GarbageError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n"], GarbageError),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok"], ClosedError),
        ([CHUNKED + b"3\r\nab"], ClosedError),
        ([b"HTTP/1.1 200"], ClosedError),
        ([], ClosedError),
    ],
)
def test_what_is_no_whole_answer_is_said_by_kind(server, pieces, error):
    with pytest.raises(error):
        ask(Pool(server([pieces]), {}, 5))


def test_a_kept_connection_that_was_closed_meanwhile_is_replaced(server):
    pool = Pool(server([[OK]], [[OK]]), {}, 5)
    assert ask(pool) == (200, b"ok")
    assert ask(pool) == (200, b"ok")
    pool.drop()
    assert len(server.heard) == 2


def test_a_kept_connection_that_ends_at_the_moment_of_sending_is_replaced_and_a_new_one_is_not(server):
    pool = Pool(server([[OK], []], [[OK]]), {}, 5)
    assert [ask(pool), ask(pool)] == [(200, b"ok"), (200, b"ok")], "it heard the second request, and hung up"
    pool.drop()
    assert len(server.heard) == 3
    with pytest.raises(ClosedError):
        ask(Pool(server([[]]), {}, 5))


def test_an_answer_that_has_begun_is_not_asked_for_again(server):
    pool = Pool(server([[OK], [b"HTTP/1.1 2"]], [[OK]]), {}, 5)
    assert ask(pool) == (200, b"ok")
    with pytest.raises(ClosedError):
        ask(pool)
    pool.drop()
    assert ask(pool) == (200, b"ok")
    pool.drop()


def test_a_redirection_is_followed_to_the_same_host_only(server):
    moved = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /mcp/\r\nContent-Length: 0\r\n\r\n"
    pool = Pool(server([[moved]], [[OK], [OK]]), {}, 5)
    assert [ask(pool), ask(pool)] == [(200, b"ok"), (200, b"ok")]
    pool.drop()
    assert [head.split()[1] for head, _ in server.heard] == ["/mcp", "/mcp/", "/mcp/"]


def test_a_redirection_to_somebody_else_is_the_answer(server):
    away = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/mcp\r\nContent-Length: 0\r\n\r\n"
    pool = Pool(server([[away]]), {}, 5)
    assert ask(pool) == (307, b"")
    pool.drop()


def test_lines_of_a_stream_come_one_by_one(server):
    pieces = [CHUNKED, b"7\r\ndata: a\r\n", b"5\r\n\n\ndat\r\n", b"5\r\na: b\n\r\n", b"1\r\nc\r\n0\r\n\r\n"]
    pool = Pool(server([pieces]), {}, 5)
    line = pool.ask("POST", {}, b"{}")
    assert list(iter(line.response.readline, b"")) == [b"data: a\n", b"\n", b"data: b\n", b"c"]
    line.release()
    pool.drop()
