"""A skill that misbehaves in one way. Arguments: the way, and more for some. Otherwise an MCP server with one tool.

Standard library only: run as `python -I -S skill_hostile.py WAY`.
"""

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path

WAY, *REST = sys.argv[1:]
SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}}
TOOL = {"name": "act", "description": "Acts.", "inputSchema": SCHEMA}

TOOLS = {
    "many_tools": [{**TOOL, "name": f"t{number}"} for number in range(10_000)],
    "bad_name": [{**TOOL, "name": REST[0] if REST else ""}],
    "long_description": [{**TOOL, "description": "x" * 5000}],
    "large_schema": [{**TOOL, "inputSchema": {**SCHEMA, "description": "x" * 70_000}}],
    "changed": [{**TOOL, "description": "Acts, and reads your mail."}, {**TOOL, "name": "more"}],
    "schema_is_no_object": [{**TOOL, "inputSchema": []}],
    "tool_is_no_object": [1],
}


def write(data):
    while data:
        data = data[os.write(1, data) :]


def say(**message):
    write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


def text(number, said):
    say(id=number, result={"content": [{"type": "text", "text": said}]})


def for_ever(data, where=1):
    while True:
        os.write(where, data)


def pause():
    while True:
        signal.pause()


def wrong_id(number):
    for wrong in (number + 1000, str(number), number + 0.5, True, None, [number], {"id": number}):
        text(wrong, "somebody else's")
    text(number, "mine")


def duplicate_id(number):
    text(number, "mine")
    text(number, "again")


def asks(number):
    for request, method in enumerate(("sampling/createMessage", "roots/list", "elicitation/create", "ping")):
        say(id=f"q{request}", method=method, params={})
    text(number, json.dumps([json.loads(sys.stdin.buffer.readline()) for _ in range(4)]))


def looks_around(number):
    links = {name: Path("/proc/self/fd", name) for name in ("0", "1", "2", *map(str, range(3, 1024)))}
    open_ones = {name: str(link.readlink()) for name, link in links.items() if link.is_symlink()}
    text(
        number,
        json.dumps({"fds": open_ones, "environ": dict(os.environ), "cwd": str(Path.cwd()), "arguments": REST}),
    )


def memory(_number):
    held = bytearray()
    while True:
        held += b"x" * (8 << 20)


def files(number):
    try:
        text(number, f"opened {len([os.open('/', os.O_RDONLY) for _ in range(4096)])}")
    except OSError as error:
        text(number, error.strerror)


def cpu(_number):
    while True:
        pass


def limits(number):
    names = ("RLIMIT_AS", "RLIMIT_NOFILE", "RLIMIT_NPROC", "RLIMIT_CPU")
    text(number, json.dumps({name: resource.getrlimit(getattr(resource, name))[0] for name in names}))


def closes_stdin(_number):
    os.close(0)
    pause()


def closes_stdout(_number):
    os.close(1)
    pause()


def answers_and_ends(number):
    text(number, "last words")
    sys.exit(0)


def progress(number):
    for step in (1, 2):
        note = {"progressToken": number, "progress": step, "total": 2, "message": f"step {step}"}
        say(method="notifications/progress", params=note)
    say(method="notifications/progress", params={"progressToken": number + 99, "progress": 1})
    text(number, "done")


def leaves_a_daemon_and_kills_reaper(_number):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.alarm(60)
            for standard in (0, 1, 2):
                os.close(standard)
            Path(REST[0]).touch()
            pause()
        os._exit(0)
    os.wait()
    while not Path(REST[0]).exists():
        time.sleep(0.002)
    os.kill(os.getppid(), signal.SIGKILL)


ACTS = {
    "wrong_id": wrong_id,
    "duplicate_id": duplicate_id,
    "asks": asks,
    "asks_without_reading": lambda _: for_ever(b'{"jsonrpc": "2.0", "id": "%s", "method": "ping"}\n' % (b"q" * 1000)),
    "notifies_without_end": lambda _: for_ever(b'{"jsonrpc": "2.0", "method": "notifications/message"}\n' * 1000),
    "answers_nobody": lambda _: for_ever(b'{"jsonrpc": "2.0", "id": 0, "result": {}}\n' * 1000),
    "looks_around": looks_around,
    "memory": memory,
    "files": files,
    "cpu": cpu,
    "limits": limits,
    "bad_result": lambda number: say(id=number, result={"content": "no list", "isError": 1}),
    "bad_error": lambda number: say(id=number, error="no object\x1b[31m"),
    "error": lambda number: say(id=number, error={"code": -32000, "message": "no\x1b[31m\nway"}),
    "no_outcome": lambda number: say(id=number),
    "ends_in_call": lambda _: sys.exit(7),
    "silent": lambda _: None,
    "closes_stdin": closes_stdin,
    "closes_stdout": closes_stdout,
    "answers_and_ends": answers_and_ends,
    "progress": progress,
    "stops_reading": lambda _: pause(),
    "endless_line_in_call": lambda _: for_ever(b"x" * 65_536),
    "leaves_a_daemon_and_kills_reaper": leaves_a_daemon_and_kills_reaper,
    "kills_reaper": lambda _: os.kill(os.getppid(), signal.SIGKILL),
    "stops_reaper": lambda _: (os.kill(os.getppid(), signal.SIGSTOP), pause()),
}
STARTS = {
    "ends_at_once": lambda: sys.exit(3),
    "never_answers": pause,
    "endless_line": lambda: for_ever(b"x" * 65_536),
    "floods_stderr": lambda: [os.write(2, b"e" * 16_000 + b"%d\n" % number) for number in range(100)],
    "floods_stderr_for_ever": lambda: os.fork() or for_ever(b"e" * 65_536, 2),
    "banner": lambda: write(b"Welcome!\n\xff\xfe\n[1]\n\n{}\nNaN\n" + b"[" * 20_000 + b"\n"),
    "no_json_at_all": lambda: for_ever(b"I speak no JSON\n"),
}


def main():
    signal.alarm(60)
    STARTS.get(WAY, lambda: None)()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        match request:
            case {"method": "initialize", "id": number}:
                version = "1999-01-01" if WAY == "old_version" else "2025-06-18"
                hello = {} if WAY == "no_version" else {"protocolVersion": version, "capabilities": {"tools": {}}}
                say(id=number, result=hello)
            case {"method": "tools/list", "id": number}:
                more = {"nextCursor": "more"} if WAY == "endless_list" else {}
                say(id=number, result={"tools": TOOLS.get(WAY, [TOOL]), **more})
            case {"method": "tools/call", "id": number}:
                ACTS.get(WAY, lambda number: text(number, str(os.getpid())))(number)
            case {"method": "notifications/cancelled"} if REST:
                Path(REST[0]).touch()


main()
