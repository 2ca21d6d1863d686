"""A skill as small as one can be: an MCP server over stdio with the tools echo and delay.

Run by path in a bare interpreter (`python -I -S echo.py`); imports the standard library only. One thread: a delayed
answer waits in a heap while later ones leave.
"""

import heapq
import json
import os
import select
import time

_MOST_DELAYED = 1024


def _tool(name: str, description: str, **more: object) -> dict[str, object]:
    text = {"type": "string", "minLength": 1, "maxLength": 4096, "description": "The text to be said back"}
    given = {"text": text, **more}
    said = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    return {
        "name": name,
        "description": description,
        "inputSchema": {
            "type": "object",
            "properties": given,
            "required": list(given),
            "additionalProperties": False,
        },
        "outputSchema": {**said, "additionalProperties": False},
        "annotations": {"readOnlyHint": True, "openWorldHint": False},
    }


TOOLS = (
    _tool("echo", "Have a text said back by a process of its own."),
    _tool(
        "delay",
        "Have a text said back after some time.",
        milliseconds={"type": "integer", "minimum": 0, "maximum": 60_000, "description": "How long to wait"},
    ),
)

_delayed: list[tuple[float, int, dict[str, object]]] = []
"""Due time, a number that keeps the order, and the answer."""


def _result(request: dict[str, object]) -> tuple[float, dict[str, object]]:
    """Seconds to wait, and the answer."""
    match request:
        case {"method": "initialize", "params": {"protocolVersion": str() as version}}:
            about = {"name": "echo", "version": "1"}
            return 0, {"result": {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}}
        case {"method": "ping"}:
            return 0, {"result": {}}
        case {"method": "tools/list"}:
            return 0, {"result": {"tools": TOOLS}}
        case {"method": "tools/call", "params": {"name": "echo", "arguments": {"text": str() as text}}}:
            return 0, _said(text)
        case {
            "method": "tools/call",
            "params": {"name": "delay", "arguments": {"text": str() as text, "milliseconds": int() as wait}},
        } if 0 <= wait <= 60_000 and len(_delayed) < _MOST_DELAYED:
            return wait / 1000, _said(text)
        case {"method": "tools/call"}:
            return 0, {"error": {"code": -32602, "message": "give text to echo; text and milliseconds to delay"}}
        case _:
            return 0, {"error": {"code": -32601, "message": "this skill has initialize, ping, tools/list, tools/call"}}


def _said(text: str) -> dict[str, object]:
    structured = {"text": text}
    content = [{"type": "text", "text": json.dumps(structured)}]
    return {"result": {"content": content, "structuredContent": structured, "isError": False}}


def _take(line: bytes, number: int) -> None:
    """Have the line's answer delayed, or none for a notification."""
    request = json.loads(line)
    if "id" not in request:
        if request.get("method") == "notifications/cancelled":
            given_up = request.get("params", {}).get("requestId")
            _delayed[:] = [entry for entry in _delayed if entry[2]["id"] != given_up]
            heapq.heapify(_delayed)
        return
    wait, answer = _result(request)
    heapq.heappush(_delayed, (time.monotonic() + wait, number, {"jsonrpc": "2.0", "id": request["id"], **answer}))


def main() -> None:
    """Answer until stdin ends."""
    number, rest = 0, b""
    while True:
        wait = max(0.0, _delayed[0][0] - time.monotonic()) if _delayed else None
        if select.select([0], [], [], wait)[0]:
            if not (data := os.read(0, 1 << 16)):
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                number += 1
                _take(line, number)
        while _delayed and _delayed[0][0] <= time.monotonic():
            out = json.dumps(heapq.heappop(_delayed)[2]).encode() + b"\n"
            while out:
                out = out[os.write(1, out) :]


if __name__ == "__main__":
    main()
