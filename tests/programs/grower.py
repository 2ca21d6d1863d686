"""A server whose memory grows with what is stored in it, in a way that its command line says. Standard library only.

Usage: grower.py PORT SHAPE [BYTES]: SHAPE is `flat`, `linear`, `square` or `greedy`; BYTES are held for an item.
It answers POST /store/COUNT and GET /search; /search needs as much again for a moment. Without /store it is empty.
With `--stdio` instead of PORT it speaks MCP: the tools `store` (`items`: a list) and `search`.
"""

import json
import sys

PORT, SHAPE = sys.argv[1:3]
BYTES = int(sys.argv[3]) if len(sys.argv) > 3 else 8192
kept: list[bytearray] = []
counts = {"stored": 0}


def touched(size):
    """A block that is really in memory."""
    block = bytearray(size)
    block[::4096] = b"x" * len(range(0, size, 4096))
    return block


def store(count):
    stored = counts["stored"] = counts["stored"] + count
    wanted = {"flat": 0, "linear": stored, "square": stored**2 / 1000, "greedy": stored * 100}[SHAPE] * BYTES
    while sum(map(len, kept)) < wanted:
        kept.append(touched(int(min(wanted - sum(map(len, kept)), 1 << 22))) or bytearray(1))


def search():
    return len(touched(max(1, sum(map(len, kept)))))


def serve(port):
    from http.server import BaseHTTPRequestHandler, HTTPServer  # noqa: PLC0415 - half of the start over stdio

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            store(int(self.path.rpartition("/")[2]))
            self.answer()

        def do_GET(self):
            search()
            self.answer()

        def answer(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


def converse():
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue
        result = {}
        if asked["method"] == "initialize":
            result = {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {"name": "grower"}}
        elif asked["method"] == "tools/call":
            given = asked["params"]["arguments"]
            if asked["params"]["name"] == "store":
                store(len(given["items"]))
            else:
                search()
            result = {"content": [{"type": "text", "text": "ok"}]}
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}) + "\n")
        sys.stdout.flush()


if PORT == "--stdio":
    converse()
else:
    serve(int(PORT))
