"""A small HTTP server with a leak of known size, for `leakcheck selftest`. Run as a process, never imported.

    python planted.py PORT [--leak descriptor|registry|heap|child|thread]

GET /clean leaks nothing, whatever is planted; GET /leak leaks what is planted, or nothing. Standard library only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import sys
import threading
from collections.abc import Callable

EVERY = 50
"""Requests for each child and each thread: a process has room for few of them."""
_HEAD_OF_BYTES = sys.getsizeof(b"")
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
_NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
_PAUSE_SECONDS = 0.002
"""What a request waits for, as one does for a database; without it limits would be near before there are floors."""

SESSIONS: dict[int, str] = {}
"""The registry that grows."""
KEPT: list[bytes] = []


def descriptor(number: int) -> None:
    """One descriptor for each request."""
    del number
    os.open(os.devnull, os.O_RDONLY)


def registry(number: int) -> None:
    """One entry for each request."""
    SESSIONS[number] = "guest"


def heap(number: int) -> None:
    """Keep 256 bytes for each request."""
    del number
    KEPT.append(bytes(256 - _HEAD_OF_BYTES))


def child(number: int) -> None:
    """Start a child that nobody waits for, at every 50th request."""
    if number % EVERY == 0:
        os.posix_spawn(shutil.which("true") or "/bin/true", ["true"], {})


def thread(number: int) -> None:
    """Start a thread that never ends, at every 50th request."""
    if number % EVERY == 0:
        threading.Thread(target=threading.Event().wait, daemon=True, name="forgotten").start()


LEAKS: dict[str, Callable[[int], None]] = {one.__name__: one for one in (descriptor, registry, heap, child, thread)}


class Server:
    """Answers on kept connections."""

    def __init__(self, leak: Callable[[int], None] | None) -> None:
        self._leak = leak
        self._leaked = 0

    async def serve(self, port: int) -> None:
        """Serve until the process is ended."""
        async with await asyncio.start_server(self._converse, "127.0.0.1", port) as server:
            await server.serve_forever()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(_PAUSE_SECONDS)
                writer.write(self._answer(head.split(b" ", 2)[1]))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):  # the client has gone
            pass
        finally:
            writer.close()

    def _answer(self, path: bytes) -> bytes:
        if path == b"/leak" and self._leak is not None:
            self._leaked += 1
            self._leak(self._leaked)
        return _ANSWER if path in {b"/leak", b"/clean"} else _NOT_FOUND


def main() -> None:
    """Serve; a leak of descriptors must not meet a low limit before it has been measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("--leak", choices=LEAKS)
    wanted = parser.parse_args()
    _, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, highest))
    asyncio.run(Server(LEAKS.get(wanted.leak)).serve(wanted.port))


if __name__ == "__main__":
    main()
