"""Sockets by what they are and in which state."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterable

from leakcheck.model.reading import Reading, Resource, Statistic
from leakcheck.probes import Setting, TreeView, holders

_STATES = {
    "01": "established",
    "02": "syn_sent",
    "03": "syn_recv",
    "04": "fin_wait1",
    "05": "fin_wait2",
    "06": "time_wait",
    "07": "close",
    "08": "close_wait",
    "09": "last_ack",
    "0A": "listen",
    "0B": "closing",
}
_SHOWN = ("established", "close_wait", "listen", "other", "unix")
_TITLES = {
    "established": "TCP connections, established",
    "close_wait": "TCP connections that the peer closed and the target did not (CLOSE_WAIT)",
    "listen": "listening TCP sockets",
    "other": "sockets in other states or of other families",
    "unix": "unix sockets",
}


class Probe:
    """Joins the socket descriptors of the tree with the kernel's tables: a second view of `fds.socket`.

    The tables are read once per network namespace and snapshot, and only if a process holds a socket. Not judged by
    itself; its holders (state and peer) explain a growth of `fds.socket`. Does not see: sockets that no process holds
    any more (TIME_WAIT), UDP and netlink beyond `other`.
    """

    def __init__(self, setting: Setting) -> None:
        del setting
        self._namespace = os.readlink("/proc/self/ns/net")

    def resources(self) -> tuple[Resource, ...]:
        """One resource per state shown."""
        return tuple(
            Resource(
                name=f"sockets.{state}",
                unit="sockets",
                statistic=Statistic.COUNT,
                per_process=False,
                title=_TITLES[state],
                judged=False,
            )
            for state in _SHOWN
        )

    def read_tree(self, view: TreeView) -> Iterable[Reading]:
        """Give one reading per state, zero included."""
        tables: dict[str, dict[str, tuple[str, str]]] = {}
        names: dict[str, list[str]] = {state: [] for state in _SHOWN}
        for pid, look in view.looks.items():
            inodes = [target[8:-1] for target in look.links.values() if target.startswith("socket:[")]
            if not inodes:
                continue
            namespace = os.readlink(f"/proc/{pid}/ns/net")
            table = tables.get(namespace)
            if table is None:
                table = tables[namespace] = _table(pid, ours=namespace == self._namespace)
            for inode in inodes:
                state, name = table.get(inode, ("other", "neither TCP nor unix"))
                names[state].append(name)
        for state, found in names.items():
            yield Reading(resource=f"sockets.{state}", value=len(found), holders=holders(found))


def _table(pid: int, *, ours: bool) -> dict[str, tuple[str, str]]:
    """Inode to (state shown, holder name) for one network namespace."""
    found: dict[str, tuple[str, str]] = {}
    for inode, state, local, remote in _asked() if ours else _printed(pid):
        where = f"on {local}" if state == "listen" else f"to {remote}"
        found[inode] = (state if state in _SHOWN else "other", f"tcp {state} {where}")
    for line in _lines(f"/proc/{pid}/net/unix"):
        fields = line.split(None, 7)
        kind = {"0001": "stream", "0002": "datagram", "0005": "seqpacket"}.get(fields[4], fields[4])
        path = fields[7].strip() if len(fields) > 7 else "unnamed"
        found[fields[6]] = ("unix", f"unix {kind} {path}")
    return found


_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_DONE, _ERROR = 3, 2
_HELD = 0xFFF & ~(1 << 6) & ~(1 << 3)
"""All TCP states but TIME_WAIT and SYN_RECV, which no descriptor refers to."""


def _asked() -> Iterable[tuple[str, str, str, str]]:
    """Ask the kernel by netlink (sock_diag(7)) for the TCP sockets of our namespace that somebody may hold.

    TIME_WAIT stays in the kernel: with thousands of those, printing /proc/net/tcp took 14 ms, and this does not.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        for family in (socket.AF_INET, socket.AF_INET6):
            request = struct.pack("=BBBxI", family, socket.IPPROTO_TCP, 0, _HELD) + bytes(48)
            header = struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 1, 0)
            netlink.send(header + request)
            yield from _answers(netlink, family)


def _answers(netlink: socket.socket, family: int) -> Iterable[tuple[str, str, str, str]]:
    while True:
        data = netlink.recv(1 << 18)
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            if kind in (_DONE, _ERROR):
                return
            yield _answer(data[16:length], family)
            data = data[(length + 3) & ~3 :]


def _answer(message: bytes, family: int) -> tuple[str, str, str, str]:
    """Take one struct inet_diag_msg apart: inode, state, local and remote address."""
    local_port, remote_port = struct.unpack_from("!HH", message, 4)
    size = 4 if family == socket.AF_INET else 16
    local, remote = message[8 : 8 + size], message[24 : 24 + size]
    (inode,) = struct.unpack_from("=I", message, 68)
    return str(inode), _STATES.get(f"{message[1]:02X}", "other"), _shown(local, local_port), _shown(remote, remote_port)


def _printed(pid: int) -> Iterable[tuple[str, str, str, str]]:
    """Read the tables of another network namespace as the kernel prints them."""
    for name in ("tcp", "tcp6"):
        for line in _lines(f"/proc/{pid}/net/{name}"):
            fields = line.split()
            yield fields[9], _STATES.get(fields[3], "other"), _address(fields[1]), _address(fields[2])


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.readlines()[1:]
    except FileNotFoundError:  # a kernel without IPv6 has no tcp6
        return []


def _address(text: str) -> str:
    """Turn the kernel's hex `ADDRESS:PORT` (each 32-bit word in host order) into the usual form."""
    address, _, port = text.partition(":")
    words = bytes.fromhex(address)
    packed = b"".join(words[index : index + 4][::-1] for index in range(0, len(words), 4))
    return _shown(packed, int(port, 16))


def _shown(packed: bytes, port: int) -> str:
    ip = ipaddress.ip_address(packed)
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"
