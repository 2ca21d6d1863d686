"""Asks the kernel by netlink (sock_diag(7)) for the TCP sockets of our network namespace."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Collection, Iterator, Mapping

_NETLINK_SOCK_DIAG = 4
_TCPDIAG_GETSOCK = 18
"""Of both families in one walk; the newer SOCK_DIAG_BY_FAMILY walks once for each."""
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST, _REQUEST_DUMP = 0x1, 0x301
_DONE, _ERROR = 3, 2
_HELD = 0xFFF & ~(1 << 6) & ~(1 << 3)
"""All TCP states but TIME_WAIT and SYN_RECV, which no descriptor refers to."""
_AT_ONCE = 64
"""Questions in one go: their answers fit into the smallest usual buffer of a socket."""


class UnansweredError(Exception):
    """The kernel does not tell by netlink: it has no sock_diag, or not for TCP."""


def _netlink() -> socket.socket:
    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EPERM, errno.EACCES):
            raise UnansweredError from error
        raise


def asked(inodes: Collection[str]) -> dict[str, bytes]:
    """Ask the kernel by netlink (sock_diag(7)) for the TCP sockets of our namespace: inode to struct inet_diag_msg.

    TIME_WAIT stays in the kernel: with thousands of those, printing /proc/net/tcp took 14 ms, and this does not.
    """
    wanted = set(map(int, inodes))
    with _netlink() as netlink:
        request = bytes(52) + struct.pack("=II", _HELD, 0)  # struct inet_diag_req, of any family
        netlink.send(struct.pack("=IHHII", 16 + len(request), _TCPDIAG_GETSOCK, _REQUEST_DUMP, 1, 0) + request)
        return {str(inode): message for inode, message in _answers(netlink) if inode in wanted}


def _answers(netlink: socket.socket) -> Iterator[tuple[int, bytes]]:
    while True:
        data, at = netlink.recv(1 << 18), 0
        while at + 16 <= len(data):
            length, kind = struct.unpack_from("=IH", data, at)
            if kind == _ERROR:
                raise UnansweredError
            if kind == _DONE:
                return
            yield struct.unpack_from("=I", data, at + 84)[0], data[at + 16 : at + 88]
            at += (length + 3) & ~3


def asked_each(known: Mapping[str, bytes]) -> dict[str, bytes] | None:
    """Ask for each by its addresses and cookie; None when one is not to be found by them any more.

    The answer is there when the question has been sent.
    """
    found: dict[str, bytes] = {}
    items = list(known.items())
    with _netlink() as netlink:
        for begin in range(0, len(items), _AT_ONCE):
            some = items[begin : begin + _AT_ONCE]
            head = struct.pack("=IHHII", 72, _SOCK_DIAG_BY_FAMILY, _REQUEST, 1, 0)
            rest = struct.pack("=BBxI", socket.IPPROTO_TCP, 0, _HELD)
            netlink.send(b"".join(head + message[:1] + rest + message[4:52] for _, message in some))
            for inode, _ in some:
                try:
                    data = netlink.recv(4096, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    return None
                if data[4:6] != _BY_FAMILY or data[84:88] != known[inode][68:72]:
                    return None
                found[inode] = data[16:88]
    return found


_BY_FAMILY = struct.pack("=H", _SOCK_DIAG_BY_FAMILY)
