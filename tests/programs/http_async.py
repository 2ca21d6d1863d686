"""A small asyncio HTTP/1.1 server, the cheapest that the standard library gives: `http_async.py PORT`."""

from __future__ import annotations

import asyncio
import sys


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            closes = b"connection: close" in head.lower()
            writer.write(b"HTTP/1.1 200 OK\r\nServer: Async/1\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
            if closes:
                return
    except (asyncio.IncompleteReadError, ConnectionError):
        return
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
