"""What one server was told on its command line."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen: an address of this machine that nobody else can reach."""

    host: str
    port: int
    """0: any free one."""

    @classmethod
    def parse(cls, text: str) -> Address:
        """From HOST:PORT; an IPv6 host stands in brackets. Raises ValueError with what to do."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise ValueError(f"{text!r} is no HOST:PORT; give one such as 127.0.0.1:8080 (port 0 takes a free one)")
        try:
            number = ip_address("127.0.0.1" if host == "localhost" else host.strip("[]"))
        except ValueError:
            number = None
        if number is None or not number.is_loopback:
            raise ValueError(
                f"{host!r} is no loopback host, and this server asks nobody for a password; "
                "give 127.0.0.1, localhost or [::1], and put a proxy that does ask in front of it"
            )
        return cls(host=str(number), port=int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be chosen at the start; nothing changes afterwards."""

    http: Address | None = None
    """Speak MCP over HTTP there; None: over stdin and stdout."""
    session_idle: float = 1800.0
    """Seconds after which a session without requests ends (HTTP)."""
    max_sessions: int = 1000
    """Sessions at once (HTTP)."""
    read_timeout: float = 10.0
    """Seconds in which a request must have come whole (HTTP)."""
    metrics_port: int | None = None
    """Port of the metrics page on 127.0.0.1; 0 takes a free one and logs it; None: no page."""
    data: Path | None = None
    """Folder of the memories; None: a private temporary one, removed at the end."""
    dimensions: int = 384
    """Length of an embedding."""
    seed_memories: int = 0
    """Top the store up to this many generated memories at the start."""
    defects: tuple[str, ...] = ()
    """Names of the defects to start with, in the order of their installation."""
