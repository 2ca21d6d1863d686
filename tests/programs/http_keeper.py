"""An HTTP server that keeps one more file open with each request, up to a number: `http_keeper.py PORT [MOST]`."""

from __future__ import annotations

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEPT: list[int] = []
MOST = int(sys.argv[2]) if len(sys.argv) > 2 else 800
"""Below the usual limit of 1,024 descriptors."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if len(KEPT) < MOST:
            KEPT.append(os.open(__file__, os.O_RDONLY))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be quiet."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
