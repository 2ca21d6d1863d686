"""An HTTP server that stands still for a second, once, after as many requests as it is told."""

import asyncio
import sys
import time


async def main(after):
    served = 0

    async def serve(reader, writer):
        nonlocal served
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                served += 1
                if served == after:
                    time.sleep(1)  # noqa: ASYNC251 - the fault
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
