"""A small threaded HTTP/1.1 server that counts connections and requests: `http_service.py PORT`."""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SEEN = {"connections": 0, "open": 0, "requests": {}, "headers": {}, "bodies": [], "closing": 0, "dropped": 0}
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    """Answers by path."""

    protocol_version = "HTTP/1.1"
    server_version = "Small/1"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        with LOCK:
            SEEN["connections"] += 1
            SEEN["open"] += 1

    def finish(self) -> None:
        with LOCK:
            SEEN["open"] -= 1
        super().finish()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with LOCK:
            key = f"{self.command} {self.path}"
            number = SEEN["requests"][key] = SEEN["requests"].get(key, 0) + 1
            if path != "/seen":
                SEEN["headers"] = dict(self.headers)
                SEEN["closing"] += self.headers.get("Connection") == "close"
                SEEN["bodies"] = [*SEEN["bodies"][-9:], body.decode()]
        if path == "/die" and number > 30:
            os._exit(3)
        elif path == "/events":
            self.stream()
        elif path == "/chunked":
            self.chunks()
        elif path == "/seen":
            self.say(200, json.dumps(SEEN).encode())
        elif path == "/flaky" and number > 20:
            self.say(500, b"broken")
        elif path == "/forgets" and number > 20:
            self.say(404, b"gone")
        else:
            self.say(int(path[1:]) if path[1:].isdigit() else 200, b"x" * 100)

    do_POST = do_HEAD = do_GET  # noqa: N815 - the names that the base class looks for

    def say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD" and status not in {204, 304}:
            self.wfile.write(body)

    def chunks(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (b"a" * 10, b"b" * 70000, b"c"):
            self.wfile.write(f"{len(piece):x};note=1\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\nTrailer: yes\r\n\r\n")

    def stream(self) -> None:
        """Send one event, then one every 50 ms until the client goes away."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        gone = threading.Event()
        try:
            while True:
                self.wfile.write(b"data: tick\n\n")
                gone.wait(0.05)
        except OSError:
            with LOCK:
                SEEN["dropped"] += 1

    def log_message(self, *_: object) -> None:
        """Be quiet."""


class Server(ThreadingHTTPServer):
    """Dropped connections are what the tests do."""

    def handle_error(self, *_: object) -> None:
        """Be quiet."""


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
