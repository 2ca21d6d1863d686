"""A server that stands still for two seconds in every ten, and a plain open loop to tell what that means. For load.py.

    python load_stalls.py serve
    python load_stalls.py truth PORT RATE SECONDS

The truth needs no load generator: a connection for each request, at its own time, in asyncio.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from statistics import quantiles

STALL, EVERY = 2.0, 10.0
"""Seconds."""


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve() -> None:
    """Answer, and now and then do not."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    while True:
        await asyncio.sleep(EVERY - STALL)
        time.sleep(STALL)  # noqa: ASYNC251 - the fault


async def truth(port: int, rate: float, seconds: float) -> None:
    """Print percentiles in milliseconds, from when each request was intended."""
    begun = time.monotonic()
    took: list[float] = []

    async def one(number: int) -> None:
        at = begun + number / rate
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"ok")
        took.append((time.monotonic() - at) * 1000)
        writer.close()

    await asyncio.gather(*(one(number) for number in range(round(rate * seconds))))
    cuts = quantiles(took, n=1000)
    found = {
        name: round(cuts[place - 1], 1) for name, place in {"p50": 500, "p90": 900, "p95": 950, "p99": 990}.items()
    }
    print(json.dumps({**found, "per_second": round(len(took) / seconds, 1)}))


if __name__ == "__main__":
    asyncio.run(serve() if sys.argv[1] == "serve" else truth(int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])))
