"""One client, so many calls, on one core; prints the CPU time of a call in microseconds. Run by load.py.

python load_clients.py fast|lean URL CALLS
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable

from locust import events
from locust.contrib.fasthttp import FastHttpUser
from locust.env import Environment

from loadtests.mcp_user import McpUser
from loadtests.mcp_wire import CLIENT, MODERN, Session

_META = "io.modelcontextprotocol/"


class Fast(FastHttpUser):
    """What Locust offers."""

    def call(self, number: int) -> None:
        """Call the tool and look at the answer."""
        meta = {f"{_META}protocolVersion": MODERN, f"{_META}clientInfo": CLIENT, f"{_META}clientCapabilities": {}}
        params = {"name": "echo", "arguments": {"text": f"call {number}"}, "_meta": meta}
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": MODERN,
            "Mcp-Method": "tools/call",
            "Mcp-Name": "echo",
        }
        body = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
        with self.client.post("/mcp", name="echo", json=body, headers=headers, catch_response=True) as answer:
            got = json.loads(answer.content)
            if got["id"] != number or got["result"]["content"][0]["text"] != f"call {number}":
                raise SystemExit(f"a wrong answer: {got}")


class Lean(McpUser):
    """What comes along here."""

    session = Session(version=MODERN)

    def call(self, number: int) -> None:
        """Call the tool and look at the answer."""
        got = self.ask(self.session, "tools/call", {"name": "echo", "arguments": {"text": f"call {number}"}})
        if got["content"][0]["text"] != f"call {number}":
            raise SystemExit(f"a wrong answer: {got}")


def main(kind: str, url: str, calls: int) -> None:
    """Warm up, then measure."""
    logging.disable(logging.WARNING)
    user_class = {"fast": Fast, "lean": Lean}[kind]
    user_class.host = url
    environment = Environment(user_classes=[user_class], events=events)
    environment.create_local_runner()
    call: Callable[[int], None] = user_class(environment).call
    for number in range(1, 200):
        call(number)
    began = time.process_time()
    for number in range(1000, 1000 + calls):
        call(number)
    print((time.process_time() - began) / calls * 1e6)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
