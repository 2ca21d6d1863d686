"""An MCP server over HTTP, handshake era, whose tools answer in odd ways. Prints its port.

Usage: mcp_http_odd.py [token=SECRET] [no_delete]
"""

import json
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler

options = dict(way.partition("=")[::2] for way in sys.argv[1:])
replies = []
arrived = threading.Condition()


def result(number, text="fine", **more):
    """Return a good answer."""
    return {"jsonrpc": "2.0", "id": number, "result": {"content": [{"type": "text", "text": text}], **more}}


ODD = {
    "is_error": lambda number: json.dumps(result(number, "out of\x1b[31m paper", isError=True)),
    "wrong_id": lambda number: json.dumps(result(number + 1000)),
    "text_id": lambda number: json.dumps(result(str(number))),
    "no_result": lambda number: json.dumps({"jsonrpc": "2.0", "id": number}),
    "malformed": lambda number: '{"jsonrpc": "2.0", "id": 1, "resu',
    "no_jsonrpc": lambda number: json.dumps({"id": number, "result": {}}),
    "a_list": lambda number: json.dumps([{"jsonrpc": "2.0", "method": "notifications/x"}, result(number)]),
    "a_number": lambda number: "17",
    "asks_more": lambda number: json.dumps(result(number, resultType="input_required")),
}


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *_):
        """Say nothing."""

    def say(self, status, text="", kind="application/json", **headers):
        """Answer with a whole body."""
        body = text.encode()
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def do_DELETE(self):
        """Close a session, or leave it to the clock."""
        self.say(405 if "no_delete" in options else 200)

    def do_GET(self):
        """Offer no stream."""
        self.say(405)

    def do_POST(self):
        """Answer a message."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "token" in options and self.headers["Authorization"] != f"Bearer {options['token']}":
            self.say(401, '{"error": "who are you?"}')
        elif self.headers["MCP-Protocol-Version"] == "2026-07-28":
            self.say(400, json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "too new"}}))
        elif "method" not in body:
            with arrived:
                replies.append(body)
                arrived.notify_all()
            self.say(202)
        elif "id" not in body:
            self.say(202)
        else:
            self.answer(body["id"], body["method"], body.get("params") or {})

    def answer(self, number, method, params):
        """Answer a request."""
        if method == "initialize":
            said = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "odd"}}
            self.say(200, json.dumps({"jsonrpc": "2.0", "id": number, "result": said}), Mcp_Session_Id="s1")
        elif method == "tools/list":
            page = int(params.get("cursor", "0"))
            listed = {"tools": [{"name": f"page{page}"}], **({"nextCursor": str(page + 1)} if page < 2 else {})}
            self.say(200, json.dumps({"jsonrpc": "2.0", "id": number, "result": listed}))
        elif method == "ping":
            self.say(200, json.dumps({"jsonrpc": "2.0", "id": number, "result": {}}))
        else:
            self.call(number, params.get("name"))

    def call(self, number, name):
        """Answer a call of a tool."""
        if name in ODD:
            self.say(200, ODD[name](number))
        elif name == "html":
            self.say(200, "<h1>hello</h1>", kind="text/html")
        elif name == "status_500":
            self.say(500, "sorry", kind="text/plain")
        elif name == "closes":
            self.close_connection = True
        elif name == "silent":
            self.rfile.read(1)  # until the client goes
            self.close_connection = True
        elif name in {"stream", "stays_open", "asks", "cut"}:
            self.stream(number, name)
        else:
            self.say(200, json.dumps(result(number)))

    def stream(self, number, name):
        """Answer as an event stream."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.event(": a comment\r\nid: 1\r\nretry: 10\r\ndata:\r\n\r\n")
        self.event("event: other\ndata: not json\n\n")
        self.event('data: {"jsonrpc": "2.0",\ndata: "method": "notifications/message", "params": {}}\n\n')
        text = "fine"
        if name == "asks":
            for asked, method in (("p", "ping"), ("r", "roots/list")):
                self.event(f"data: {json.dumps({'jsonrpc': '2.0', 'id': asked, 'method': method})}\n\n")
            with arrived:
                arrived.wait_for(lambda: len(replies) >= 2, timeout=5)
                text = json.dumps(sorted(replies, key=lambda reply: reply["id"]))
                replies.clear()
        if name == "cut":
            self.close_connection = True
            return
        self.event(f"event: message\ndata: {json.dumps(result(number, text))}\n\n")
        if name == "stays_open":
            self.rfile.read(1)
            self.close_connection = True
        else:
            self.wfile.write(b"0\r\n\r\n")

    def event(self, text):
        """Send one chunk."""
        self.wfile.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())
        self.wfile.flush()


class Server(socketserver.ThreadingTCPServer):
    """Takes whatever comes."""

    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    with Server(("127.0.0.1", 0), Handler) as server:
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever()
