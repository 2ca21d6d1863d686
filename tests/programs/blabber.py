"""A server that tells everybody all it was given: `blabber.py stdio|http [PORT] [ARGUMENT…]`.

Its arguments and its environment go to stderr, and with the request's headers into every answer.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

GIVEN = [*sys.argv[1:], *(f"{name} {value}" for name, value in os.environ.items())]
TOLD = f"{' '.join(GIVEN)} {json.dumps(GIVEN)} {GIVEN} {quote(' '.join(GIVEN))}"
OPEN = {"readOnlyHint": True, "openWorldHint": False}


def send(message):
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def answer(number, method, params):
    if method == "initialize":
        info = {"name": TOLD[:60], "version": TOLD}
        return {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        schema = {"type": "object", "description": TOLD}
        tools = [{"name": name, "inputSchema": schema, "annotations": OPEN} for name in ("fine", "failing", "later")]
        return {"tools": tools}
    if method != "tools/call":
        return {} if method == "ping" else None
    name = params.get("name") if isinstance(params, dict) else None
    if name == "fine" or (name == "later" and number < 40):
        return {"content": [{"type": "text", "text": TOLD}]}
    if name == "failing":
        return {"content": [{"type": "text", "text": TOLD}], "isError": True}
    return None


def converse():
    for line in sys.stdin:
        message = json.loads(line)
        number = message.get("id")
        if number is None:
            continue
        result = answer(number, message["method"], message.get("params"))
        problem = {"error": {"code": -32602, "message": TOLD}}
        send({"id": number, **({"result": result} if result is not None else problem)})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    number = 0

    def version_string(self):
        return TOLD[:200].replace("\n", " ")

    def do_GET(self):
        Handler.number += 1
        told = f"{TOLD} {self.path} {dict(self.headers)}"
        sys.stderr.write(f"{told}\n")
        if self.path.startswith("/metrics"):
            body = f'# TYPE things gauge\nthings{{to="{self.headers.get("X-Special")}"}} 1\n'.encode()
        else:
            body = told.encode()
        self.send_response(200 if Handler.number < 40 or self.path.startswith("/metrics") else 500)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    sys.stderr.write(f"{TOLD}\n")
    sys.stderr.flush()
    if sys.argv[1] == "stdio":
        converse()
    elif sys.argv[1] == "http":
        ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
    else:
        raise SystemExit(TOLD)
