"""A server that answers 200 requests a second, four at a time, and leaks at the rate that it is told."""

from __future__ import annotations

import argparse
import asyncio
import os
import random

ANSWER_SECONDS = 0.02
"""Four connections wait for an answer each: 200 a second."""


class Link:
    """64 bytes with its header, and none beside: a chain of them is in no container that could be counted."""

    __slots__ = ("before", "unused", "unused_too")

    def __init__(self, before: Link | None) -> None:
        self.before = before


class Server:
    """Keeps something of some requests."""

    def __init__(self, what: str, rate: float, seed: int) -> None:
        self._what, self._rate, self._draw = what, rate, random.Random(seed)
        self.kept: list[object] = []
        self.last: Link | None = None

    def leak(self) -> None:
        """Keep a piece with the given probability."""
        if self._draw.random() >= self._rate:
            return
        if self._what == "descriptor":
            self.kept.append(os.open(os.devnull, os.O_RDONLY))
        elif self._what == "heap":
            self.kept.append(bytes(31))  # 33 bytes of header beside: 64 in all, one block
        elif self._what == "chain":
            self.last = Link(self.last)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await asyncio.sleep(ANSWER_SECONDS)
                self.leak()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
                if b"connection: close" in head.lower():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--what", choices=("descriptor", "heap", "chain"), required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    server = Server(given.what, given.rate, given.seed)
    async with await asyncio.start_server(server.serve, "127.0.0.1", given.port) as listening:
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
