"""A well-behaved MCP server over stdio, and on request one that misbehaves in a single way. Standard library only.

Usage: mcp_good.py [--FAULT[=VALUE]]...; the faults are the keys looked up in FAULTS below.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

FAULTS = dict(option.lstrip("-").partition("=")[::2] for option in sys.argv[1:])
READS = {"readOnlyHint": True, "openWorldHint": False}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
NONE = {"type": "object", "properties": {}}
TOOLS = [
    {"name": "echo", "inputSchema": TEXT, "annotations": READS},
    {"name": "nap", "inputSchema": NONE, "annotations": READS},
    {"name": "search_web", "inputSchema": TEXT, "annotations": {"readOnlyHint": True}},
    {"name": "store", "inputSchema": TEXT},
    {"name": "forget", "inputSchema": NONE, "annotations": {"readOnlyHint": False}},
    {"name": "broken", "inputSchema": NONE, "annotations": READS},
    {"name": "slow", "inputSchema": NONE, "annotations": READS},
    {"name": "sampler", "inputSchema": NONE, "annotations": READS},
    {
        "name": "coded",
        "inputSchema": {
            "type": "object",
            "properties": {"code": {"type": "string", "pattern": "^[a-f]{3}-XYZ[0-9]{5}$"}},
            "required": ["code"],
        },
        "annotations": READS,
    },
]
PAGE = 4
lock = threading.Lock()
counts = {"calls": 0, "stored": 0}


def send(message):
    line = json.dumps({"jsonrpc": "2.0", **message}) + "\n"
    with lock:
        sys.stdout.write(line)
        sys.stdout.flush()


def answer(number, result):
    send({"id": number, "result": result})


def error(number, code, message):
    send({"id": number, "error": {"code": code, "message": message}})


def text(number, said, *, is_error=False):
    answer(number, {"content": [{"type": "text", "text": said}], "isError": is_error})


def echo(number, arguments):
    if arguments["text"] == "complain":
        text(number, FAULTS["complains"], is_error=True)
        return
    if "flood" in FAULTS:
        for _ in range(200):
            send({"method": "notifications/message", "params": {"level": "info", "data": "x" * 2000}})
    text(number, arguments["text"] + "z" * int(FAULTS.get("big", 0)))


def nap(number, _):
    time.sleep(0.02)
    text(number, "rested")


def slow(number, _):
    time.sleep(3)
    text(number, "at last")


def store(number, _):
    counts["stored"] += 1
    text(number, f"{counts['stored']} stored")


def forget(number, _):
    counts["stored"] = 0
    text(number, "nothing stored")


def search_web(number, _):
    text(number, "found nothing")


def broken(number, _):
    text(number, "out of order", is_error=True)


def sampler(number, _):
    send({"id": "s1", "method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}})
    text(number, "asked")


ACTIONS = {action.__name__: action for action in (echo, nap, slow, store, forget, search_web, broken, sampler)}


def call(number, params):
    name, arguments = params.get("name"), params.get("arguments", {})
    counts["calls"] += 1
    if "dies-after" in FAULTS and counts["calls"] > int(FAULTS["dies-after"]):
        sys.stderr.write("the end is near\n")
        os._exit(7)
    if "silent-after" in FAULTS and counts["calls"] > int(FAULTS["silent-after"]):
        return
    if name not in ACTIONS:
        error(number, -32602, f"unknown tool {name}")
    elif name in {"echo", "search_web", "store"} and not isinstance(arguments.get("text"), str):
        text(number, "text must be a string", is_error=True)
    else:
        ACTIONS[name](number, arguments)


def handle(message):
    method, number, params = message.get("method"), message.get("id"), message.get("params")
    if number is None or method is None:
        return
    if method == "initialize":
        version = FAULTS.get("version") or params["protocolVersion"]
        info = {"name": "good", "version": "1.2"}
        answer(number, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info})
    elif method == "ping":
        answer(number, {})
    elif method == "tools/list":
        tools = [tool for tool in TOOLS if tool["name"] in FAULTS["only"].split(",")] if "only" in FAULTS else TOOLS
        start = int((params or {}).get("cursor") or 0)
        more = {"nextCursor": str(start + PAGE)} if start + PAGE < len(tools) else {}
        answer(number, {"tools": tools[start : start + PAGE], **more})
    elif method == "tools/call":
        if not isinstance(params, dict):
            error(number, -32602, "params are missing")
        elif params.get("name") in {"nap", "slow"}:
            threading.Thread(target=call, args=(number, params), daemon=True).start()
        else:
            call(number, params)
    else:
        error(number, -32601, f"unknown method {method}")


def start_faults():
    if "banner" in FAULTS:
        sys.stdout.write("Welcome to the good server\nversion 1.2\n")
    if "leaves-child" in FAULTS:
        subprocess.Popen(["sleep", "300"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    if "leaves-file" in FAULTS:
        os.close(tempfile.mkstemp(prefix="left-")[0])
    if "shares-cache" in FAULTS:
        Path(tempfile.gettempdir(), "cache").touch()
    if "once" in FAULTS:  # a lock that only one instance can have
        os.close(os.open(FAULTS["once"], os.O_CREAT | os.O_EXCL))


if __name__ == "__main__":
    start_faults()
    for line in sys.stdin:
        handle(json.loads(line))
    while "ignores-eof" in FAULTS:
        time.sleep(60)
    os._exit(0)
