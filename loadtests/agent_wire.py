"""An agent at the other end of a websocket: what it says, what it hears, and the ways in which it leaves.

Does not see: TLS.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import websocket

from loadtests.mcp_user import McpUser
from loadtests.mcp_wire import MissingError, WrongError, shown

_NORMAL = 1000
_CLOSE_SECONDS = 5.0
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: on close, throw away what is unsent and send RST."""


class Agent:
    """Connects and says hello at once; leaving the `with` closes it properly if nothing else did."""

    def __init__(self, user: McpUser, name: str) -> None:
        self.name = name
        self._user = user
        self._aside: deque[dict[str, Any]] = deque()
        url = f"ws{(user.host or '').rstrip('/').removeprefix('http')}/synapse"
        headers = [f"{field}: {value}" for field, value in (user.default_headers or {}).items()]
        with user.counted("WS", "hello"), self._told():
            self._socket = websocket.create_connection(
                url, timeout=user.patience, header=headers, suppress_origin=True, enable_multithread=False
            )
            try:
                self.say("hello", agent=name)
                welcome = self.hear("welcome")
            except BaseException:
                self._shut()
                raise
        if welcome.get("agent") != name:
            raise WrongError(shown(f"the hello of {name} was answered with {welcome}"))

    def say(self, kind: str, **facts: Any) -> None:
        """Send a message."""
        self.say_all({"type": kind, **facts})

    def say_all(self, *messages: dict[str, Any]) -> None:
        """Send several in one piece, so that the last arrives with the first."""
        texts = [json.dumps(message).encode() for message in messages]
        frames = [websocket.ABNF.create_frame(text, websocket.ABNF.OPCODE_TEXT).format() for text in texts]
        if (sock := self._socket.sock) is None:
            raise MissingError("closed", f"the connection of {self.name} was closed before")
        with self._told():
            sock.sendall(b"".join(frames))

    def hear(self, *kinds: str, seconds: float | None = None, **facts: Any) -> dict[str, Any]:
        """The next message of one of these kinds with these facts; others are set aside for later."""
        until = time.monotonic() + (seconds or self._user.patience)
        wanted = self._taken(kinds, facts)
        while wanted is None:
            left = until - time.monotonic()
            if left <= 0:
                raise MissingError("silent", shown(f"{self.name} heard no {kinds} {facts}, but {list(self._aside)}"))
            self._socket.settimeout(left)
            with self._told():
                message = json.loads(self._socket.recv())
            self._aside.append(message)
            wanted = self._taken(kinds, facts)
        return wanted

    def heard(self, kind: str) -> int:
        """How many messages of this kind came and were not taken, up to now: a pong is behind all that was sent."""
        self.say("ping")
        self.hear("pong")
        return sum(message.get("type") == kind for message in self._aside)

    def close(self) -> None:
        """Say goodbye and wait for theirs. Raises WrongError when it is another one."""
        with self._user.counted("WS", "close"), self._told():
            self._socket.send_close(_NORMAL)
            self._socket.settimeout(_CLOSE_SECONDS)
            while True:
                opcode, data = self._socket.recv_data(control_frame=True)
                if opcode == websocket.ABNF.OPCODE_CLOSE:
                    break
            self._shut()
        code = int.from_bytes(data[:2], "big") if len(data) >= 2 else None
        if code != _NORMAL:
            raise WrongError(f"a proper close is answered with code {code}")

    def drop(self) -> None:
        """Be gone, as a machine that crashed: RST, and not a word."""
        if self._socket.sock is not None:
            self._socket.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._shut()

    def _shut(self) -> None:
        """Close the socket without a word."""
        self._socket.shutdown()  # type: ignore[no-untyped-call]

    def _taken(self, kinds: tuple[str, ...], facts: dict[str, Any]) -> dict[str, Any] | None:
        for message in self._aside:
            if message.get("type") in kinds and facts.items() <= message.items():
                self._aside.remove(message)
                return message
        return None

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What the websocket client raises becomes MissingError or WrongError."""
        try:
            yield
        except websocket.WebSocketTimeoutException as error:
            raise MissingError("silent", shown(f"{self.name} heard nothing; set aside: {list(self._aside)}")) from error
        except websocket.WebSocketConnectionClosedException as error:
            raise MissingError("closed", f"the connection of {self.name} was closed") from error
        except websocket.WebSocketBadStatusException as error:
            raise WrongError(f"the websocket was refused with status {error.status_code}") from error
        except (websocket.WebSocketException, ValueError) as error:
            raise WrongError(shown(f"no message of ours: {error}")) from error
        except OSError as error:
            raise MissingError("closed", f"the connection of {self.name} broke: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self._shut()
        elif self._socket.connected:
            self.close()
