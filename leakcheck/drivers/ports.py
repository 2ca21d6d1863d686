"""TCP ports of this machine: finding a free one, and noticing that one is taken."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from urllib.parse import urlsplit

from leakcheck.errors import UsageError

_LOWEST = 15000
_TRIES = 50


def free_port() -> int:
    """Return a TCP port that nobody listens on, on any address of this machine.

    It lies below the range from which the kernel draws the ports of outgoing connections (32768 and up by default).
    A port from that range may be drawn again before the server binds it, even by the connection that looks for the
    server, which TCP then joins to itself.

    Does not see: a program that takes the port between this call and the server's bind.
    """
    for port in random.SystemRandom().sample(range(_LOWEST, max(_first_outgoing_port(), _LOWEST + _TRIES)), _TRIES):
        if _can_bind(port):
            return port
    with socket.socket() as anything:
        anything.bind(("127.0.0.1", 0))
        return int(anything.getsockname()[1])


def port_is_taken(url: str) -> bool:
    """Whether somebody listens already where `url` points: ask before the target is started, it would not get the port.

    Raises UsageError for a URL without a valid host and port.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        places = socket.getaddrinfo(parts.hostname or "", port, type=socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the URL {url!r} names no host and port ({error}); write http://127.0.0.1:PORT/PATH"
        ) from None
    for family, kind, protocol, _, address in places:
        with socket.socket(family, kind, protocol) as sock:
            sock.settimeout(1.0)
            if sock.connect_ex(address) == 0 and sock.getsockname() != sock.getpeername():
                return True
    return False


def _first_outgoing_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return 32768


def _can_bind(port: int) -> bool:
    for family, address in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family) as sock:
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((address, port))
        except OSError:
            if family == socket.AF_INET or socket.has_dualstack_ipv6():
                return False
    return True
