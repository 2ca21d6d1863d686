"""A buffer of the C library is freed at the end of a handler, but not on its early return."""

from __future__ import annotations

import ctypes
import random
from typing import Any

import hosts

LEAKS = True
HOST = "asyncio"
RESOURCE = "native"
KIND = "rare"
REQUESTS = ("GET /encode?n={n}", "GET /status?n={n}", "GET /search?n={n}")
OPERATION = "GET /encode"

LIBC = ctypes.CDLL(None)
LIBC.malloc.restype = LIBC.memset.restype = ctypes.c_void_p
LIBC.malloc.argtypes = (ctypes.c_size_t,)
LIBC.memset.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)
LIBC.free.argtypes = (ctypes.c_void_p,)


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: bytes lost per request on the average, and per early return."""
    return {**hosts.ordinary(random), **hosts.bytes_kept(random, 512, 16_384)}


def rate(parameters: dict[str, Any]) -> float:
    """Return the bytes lost per request."""
    return float(parameters["rate"])


class Program(hosts.Program):
    """Encodes texts with a C library."""

    async def answer(self, request: hosts.Request) -> str | None:
        """Encode; return early when there is nothing to do."""
        if request.path != "/encode":
            return None
        size = self.parameters["size"]
        buffer = LIBC.malloc(size)
        LIBC.memset(buffer, request.n % 256, size)
        if self.chance(self.parameters["rate"] / self.parameters["size"]):
            return "unchanged"
        LIBC.free(buffer)
        return "encoded"
