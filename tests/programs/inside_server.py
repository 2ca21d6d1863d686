"""An asyncio HTTP/1.1 server that keeps something of each request to /work, in one way of many.

    python inside_server.py PORT MODE [WORKERS]

Every other path keeps nothing. It prints first what its environment says of agents. Python 3.8 or later.
"""

import asyncio
import collections
import functools
import json
import os
import signal
import socket
import sys
import time

SESSIONS = {}
TEXTS = []
TASKS = []
OPENED = []
EXPIRING = {}
RING = collections.deque(maxlen=1_000_000)
TTL_SECONDS = 4.0
TOLD = ("LEAKCHECK_AGENT", "PYTHONPATH", "NODE_OPTIONS")


class Trimming:
    """Keeps its list to a limit, which no test reaches."""

    def __init__(self):
        self.items = []
        self.limit = 1_000_000

    def add(self, item):
        self.items.append(item)
        if len(self.items) > self.limit:
            del self.items[: len(self.items) - self.limit]


class Untrimmed:
    """The same, and nothing is trimmed."""

    def __init__(self):
        self.items = []
        self.limit = 1_000_000

    def add(self, item):
        self.items.append(item)


class TrimsAnother:
    """Looks as if it kept its list to a limit, and trims the list of another."""

    def __init__(self):
        self.items = []
        self.limit = 50

    def add(self, item, other):
        self.items.append(item)
        if len(other.items) > self.limit:
            del other.items[: self.limit]


TRIMMING, UNTRIMMED, TRIMS_ANOTHER, ANOTHER = Trimming(), Untrimmed(), TrimsAnother(), TrimsAnother()


async def linger():
    await asyncio.Event().wait()


async def answered():
    await asyncio.sleep(0)


@functools.lru_cache(maxsize=64)
def remembered(number):
    return {"number": number}


class Healthy:
    """Sessions that end, a ring that is full soon, a cache, tasks that end."""

    def __init__(self):
        self.sessions = {}
        self.last = collections.deque(maxlen=30)

    async def use(self, number):
        self.sessions[number] = {"who": f"user {number}"}
        self.last.append(text(number))
        remembered(number % 200)
        await asyncio.get_running_loop().create_task(answered())
        del self.sessions[number]


HEALTHY = Healthy()


def text(number):
    return f"{number:064d}"


def expire():
    limit = time.monotonic() - TTL_SECONDS
    for number in [number for number, since in EXPIRING.items() if since < limit]:
        del EXPIRING[number]
    asyncio.get_running_loop().call_later(0.1, expire)


def tick():
    SESSIONS[len(SESSIONS)] = {"ticked": text(len(SESSIONS))}
    asyncio.get_running_loop().call_later(0.2, tick)


KEEPS = {
    "registry": lambda number: SESSIONS.__setitem__(number, {"number": number, "who": text(number)}),
    "text": lambda number: TEXTS.append(text(number)),
    "task": lambda _: TASKS.append(asyncio.get_running_loop().create_task(linger())),
    "ring": lambda number: RING.append(text(number)),
    "trimming": lambda number: TRIMMING.add(text(number)),
    "untrimmed": lambda number: UNTRIMMED.add(text(number)),
    "trims-another": lambda number: TRIMS_ANOTHER.add(text(number), ANOTHER),
    "expiring": lambda number: EXPIRING.__setitem__(number, time.monotonic()),
    "descriptor": lambda _: OPENED.append(os.open("/dev/null", os.O_RDONLY)),
}
AT_START = {"expiring": expire, "by-time": tick}


async def main(listening, mode):
    count = 0

    async def serve(reader, writer):
        nonlocal count
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b" /work" in head:
                    count += 1
                    if mode == "healthy":
                        await HEALTHY.use(count)
                    elif mode in KEEPS:
                        KEEPS[mode](count)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await writer.drain()
                if b"connection: close" in head.lower():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    if mode in AT_START:
        AT_START[mode]()
    await (await asyncio.start_server(serve, sock=listening)).serve_forever()


def forked(listening, mode, workers):
    """Serve in workers alone; end them when told to end."""
    pids = []
    for _ in range(workers):
        pid = os.fork()
        if pid == 0:
            asyncio.run(main(listening, mode))
        pids.append(pid)

    def end(number, frame):
        for pid in pids:
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    for _ in pids:
        os.wait()


if __name__ == "__main__":
    if sys.argv[2] not in {"healthy", "none", *KEEPS, *AT_START}:
        sys.exit(f"no such mode: {sys.argv[2]}")
    print(json.dumps({name: os.environ[name] for name in TOLD if name in os.environ}), flush=True)  # noqa: T201
    own = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=100)
    if len(sys.argv) > 3:
        forked(own, sys.argv[2], int(sys.argv[3]))
    else:
        asyncio.run(main(own, sys.argv[2]))
