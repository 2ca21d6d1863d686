"""Sockets by what they are and in which state."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from leakcheck.model.reading import Reading, Resource, Statistic
from leakcheck.probes import Setting, TreeView, _sock_diag, holders
from leakcheck.probes._look import Kept, ProcessLook
from leakcheck.targets.tree import contents

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
_Named = tuple[str, str]
"""State shown, and holder name."""
_SECONDS = 3.0
_SHARE = 0.005
_NEITHER: _Named = ("other", "neither TCP nor unix")


class Probe:
    """Joins the socket descriptors of the tree with the kernel's tables: a second view of `fds.socket`.

    The kernel is asked only about sockets that a process of the tree holds: by their addresses where those are known
    from an earlier look, which takes it no walk past the others; by a table, read once per network namespace and
    snapshot, where one is new. It is asked when other sockets are held, but for no more than 0.5 % of a core, or after
    3 s. Not judged by itself; its holders (state and peer) explain a growth of `fds.socket`. Does not see: sockets that
    no process holds any more (TIME_WAIT), UDP and netlink beyond `other`; the path that a unix socket takes after it
    was first seen; for 3 s, that the state of a connection changed.
    """

    def __init__(self, setting: Setting) -> None:
        del setting
        self._namespace = os.readlink("/proc/self/ns/net")
        self._ours = _Ours()
        self._kept = Kept()

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
        paths: dict[str, dict[str, str]] = {}
        """By namespace and inode, one descriptor that refers to it, as a path."""
        held: list[tuple[str, str]] = []
        """Namespace and inode of each descriptor."""
        for pid, look in view.looks.items():
            links = _sockets(look)
            if links:
                namespace = os.readlink(f"/proc/{pid}/ns/net")
                held += [(namespace, inode) for _, inode in links]
                paths.setdefault(namespace, {}).update({inode: f"/proc/{pid}/fd/{number}" for number, inode in links})
        return self._kept.lately(
            "sockets", tuple(held), lambda: self._read(held, paths), seconds=_SECONDS, share=_SHARE
        )

    def _read(self, held: Iterable[tuple[str, str]], paths: Mapping[str, Mapping[str, str]]) -> tuple[Reading, ...]:
        tables = {
            namespace: self._ours.table(some) if namespace == self._namespace else _printed(some, some)
            for namespace, some in paths.items()
        }
        names: dict[str, list[str]] = {state: [] for state in _SHOWN}
        for namespace, inode in held:
            state, name = tables[namespace].get(inode, _NEITHER)
            names[state].append(name)
        return tuple(
            Reading(resource=f"sockets.{state}", value=len(found), holders=holders(found))
            for state, found in names.items()
        )


def _sockets(look: ProcessLook) -> list[tuple[int, str]]:
    """Descriptor number and inode of each."""
    return [(number, target[8:-1]) for number, target in look.links.items() if target.startswith("socket:[")]


class _Ours:
    """The sockets of our own network namespace."""

    def __init__(self) -> None:
        self._fixed: dict[str, _Named] = {}
        """What stays as it is: unix sockets, and other families."""
        self._messages: dict[str, bytes] = {}
        """What the kernel said of a TCP socket at the last look."""
        self._answers = True
        """Whether the kernel answers by netlink."""

    def table(self, paths: Mapping[str, str]) -> dict[str, _Named]:
        """Inode to state and name of each of these (inode to a descriptor's path)."""
        fixed = self._fixed = {inode: self._fixed[inode] for inode in paths if inode in self._fixed}
        new = {inode: _protocol(paths[inode]) for inode in paths if inode not in fixed and inode not in self._messages}
        perhaps_unix = {inode for inode, protocol in new.items() if protocol is None or protocol.startswith("UNIX")}
        if perhaps_unix:
            fixed |= _unix(next(iter(paths.values())), perhaps_unix)
        fixed |= {
            inode: _NEITHER
            for inode, protocol in new.items()
            if protocol is not None and not protocol.startswith("TCP") and inode not in fixed
        }
        rest = {inode for inode in paths if inode not in fixed}
        return fixed | (self._tcp(rest, paths) if rest else {})

    def _tcp(self, inodes: Collection[str], paths: Mapping[str, str]) -> dict[str, _Named]:
        if self._answers:
            try:
                known = {inode: message for inode, message in self._messages.items() if inode in inodes}
                again = _sock_diag.asked_each(known) if len(known) == len(inodes) else None
                self._messages = _sock_diag.asked(inodes) if again is None else again
            except _sock_diag.UnansweredError:
                self._answers, self._messages = False, {}
        if not self._answers:
            return _printed(paths, inodes)
        return {inode: _named(message[:2] + message[4:40]) for inode, message in self._messages.items()}


def _protocol(path: str) -> str | None:
    """`TCP`, `UNIX-STREAM`, `UDPv6`: what the kernel calls a socket's protocol; None where it does not tell."""
    try:
        return os.getxattr(path, "system.sockprotoname").rstrip(b"\0").decode(errors="replace")
    except OSError:
        return None


def _unix(path: str, inodes: Collection[str]) -> dict[str, _Named]:
    """Read the names of these from the table of the process to whom the path belongs."""
    found: dict[str, _Named] = {}
    for line in _lines(f"{path.rpartition('/fd/')[0]}/net/unix"):
        fields = line.split(None, 7)
        if len(fields) > 6 and fields[6] in inodes:  # a path may hold a line feed
            kind = {"0001": "stream", "0002": "datagram", "0005": "seqpacket"}.get(fields[4], fields[4])
            found[fields[6]] = ("unix", f"unix {kind} {fields[7].strip() if len(fields) > 7 else 'unnamed'}")
    return found


@lru_cache(maxsize=1024)
def _named(message: bytes) -> _Named:
    """Take family, state, ports and addresses apart: the start of struct inet_diag_msg, without its timer."""
    local_port, remote_port = struct.unpack_from("!HH", message, 2)
    size = 4 if message[0] == socket.AF_INET else 16
    local, remote = message[6 : 6 + size], message[22 : 22 + size]
    state = _STATES.get(f"{message[1]:02X}", "other")
    return _seen(state, _shown(local, local_port), _shown(remote, remote_port))


def _seen(state: str, local: str, remote: str) -> _Named:
    where = f"on {local}" if state == "listen" else f"to {remote}"
    return (state if state in _SHOWN else "other", f"tcp {state} {where}")


def _printed(paths: Mapping[str, str], inodes: Collection[str]) -> dict[str, _Named]:
    """Read the tables as the kernel prints them: those of another network namespace, or where netlink is mute."""
    path = next(iter(paths.values()))
    found = _unix(path, inodes)
    for name in ("tcp", "tcp6"):
        for line in _lines(f"{path.rpartition('/fd/')[0]}/net/{name}"):
            fields = line.split()
            if fields[9] in inodes:
                state = _STATES.get(fields[3], "other")
                found[fields[9]] = _seen(state, _address(fields[1]), _address(fields[2]))
    return found


def _lines(path: str) -> list[str]:
    try:
        return contents(path).decode("ascii", errors="replace").split("\n")[1:-1]
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
