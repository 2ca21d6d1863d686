"""The programs that `inside.py` measures: `python inside_programs.py KIND NUMBER`. It imports as little as they need.

`loop` and `asyncio_json` do a NUMBER of turns and print the CPU time and how many threads there are; `objects` holds a
NUMBER of objects until its stdin ends, and for each line prints for how many milliseconds it was away.
"""

from __future__ import annotations

import asyncio
import gc
import json
import select
import sys
import time
from pathlib import Path


def _loop(turns: int) -> None:
    """Work of the interpreter alone: arithmetic, small lists and dictionaries, calls."""
    for turn in range(turns):
        seen: dict[int, list[int]] = {}
        for number in range(500):
            seen.setdefault((number * 7919 + turn) % 97, []).append(number * number % 13)
        sorted(sum(values) for values in seen.values())


async def _asyncio_json(turns: int) -> None:
    """Tasks that hand each other documents through queues, each written and read as JSON."""
    asked: asyncio.Queue[str] = asyncio.Queue(16)
    answered: asyncio.Queue[str] = asyncio.Queue(16)

    async def server() -> None:
        while True:
            document = json.loads(await asked.get())
            await answered.put(json.dumps({**document, "total": sum(document["values"])}))

    async def client(number: int) -> None:
        for turn in range(turns):
            await asked.put(json.dumps({"from": number, "turn": turn, "values": list(range(50)), "text": "a" * 100}))
            json.loads(await answered.get())

    servers = [asyncio.create_task(server()) for _ in range(4)]
    await asyncio.gather(*(client(number) for number in range(8)))
    for one in servers:
        one.cancel()


def _objects(count: int) -> None:
    """Hold so many objects that the collector follows, half of them lists in dictionaries; tell the longest gap."""
    kept = [{"number": number, "values": [number]} for number in range(count // 2)]
    gc.collect()
    print("ready", flush=True)
    longest, last = 0.0, time.perf_counter()
    while True:
        readable, _, _ = select.select([sys.stdin], [], [], 0.0005)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
        if readable:
            if not sys.stdin.readline():
                break
            print(1e3 * longest, flush=True)
            longest, last = 0.0, time.perf_counter()
    del kept


def main(kind: str, number: int) -> None:
    if kind == "objects":
        _objects(number)
        return
    begun = time.process_time()
    if kind == "loop":
        _loop(number)
    else:
        asyncio.run(_asyncio_json(number))
    print(time.process_time() - begun, len(list(Path("/proc/self/task").iterdir())))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
