"""What all drivers with a load process have in common: the wait for its first answer, the rounds, and the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from leakcheck.credentials import Secrets
from leakcheck.drivers import Played
from leakcheck.drivers._ended import died, has_ended, last_words
from leakcheck.drivers.load_process import LoadProcess
from leakcheck.errors import NotReady, TargetDied
from leakcheck.model.event import Copy
from leakcheck.targets import Target

CONCURRENCY = 4
_WHILE = "while requests were sent to it"
_BEFORE = "before its first answer; check COMMAND"
_FINAL = frozenset({"garbage", "tls"})
"""What a server that is only starting never says: it is not asked again."""
_REFUSAL_SECONDS = 5.0
"""A refusal may come from a server that has bound its port and not yet put its routes up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the load goes, in the words of a message."""

    place: str
    """HOST:PORT."""
    asked: str
    """What is waited for there, for example `GET /`."""
    option: str
    """The option that names it."""

    @classmethod
    def of(cls, url: str, asked: str, option: str) -> Address:
        """Take HOST:PORT out of a URL that was checked."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return cls(place=f"[{host}]:{port}" if ":" in host else f"{host}:{port}", asked=asked, option=option)


class LoadDriver:
    """Asks one load process; see the protocol `Driver`, of which a subclass adds `open`."""

    def __init__(self, secrets: Secrets, address: Address, play_seconds: float | None = None) -> None:
        """`play_seconds` bounds one call of `play`: what was not begun by then is not played."""
        self._secrets = secrets
        self._address = address
        self._play_seconds = play_seconds
        self._started: tuple[LoadProcess, Target] | None = None
        self._kinds: tuple[str, ...] = ()

    def play(self, doses: Mapping[str, int]) -> Played:
        """Play the doses in the load process. Raises TargetDied."""
        unknown = sorted(set(doses) - set(self._kinds))
        if unknown:
            raise ValueError(f"operations {unknown} were not opened; opened are {list(self._kinds)}")
        return self._play({kind: dose for kind, dose in doses.items() if dose > 0})

    def undo(self) -> None:
        """Nothing: only MCP tools can undo."""

    def copies(self, seconds: float) -> Iterator[Copy]:  # noqa: ARG002 - the protocol's signature
        """Start no copies: each would need a port of its own."""
        yield from ()

    def processes(self) -> tuple[int, ...]:
        """The load process, while there is one."""
        return () if self._started is None else self._started[0].pids

    @property
    def cpu_seconds(self) -> float:
        """None has ended: 0."""
        return 0.0

    def close(self) -> None:
        """End the load process; its connections close with it."""
        started, self._started = self._started, None
        if started is not None:
            started[0].close()

    def _start(
        self, target: Target, command: tuple[str, ...], environment: Mapping[str, str], configuration: dict[str, object]
    ) -> None:
        load = LoadProcess(command, environment, self._secrets)
        self._started = load, target
        load.tell({"concurrency": CONCURRENCY, **configuration})

    def _ask(self, message: Mapping[str, object], when: str = _WHILE, seconds: float | None = None) -> dict[str, Any]:
        """One line to the load process, one line back. Raises TargetDied when the target ends meanwhile."""
        load, target = self._talk()

        def check() -> None:
            if has_ended(target):
                raise died(target, when)

        return load.ask(message, check, seconds)

    def _talk(self) -> tuple[LoadProcess, Target]:
        if self._started is None:
            raise RuntimeError("open() comes before this, close() after")
        return self._started

    def _play(self, doses: Mapping[str, int]) -> Played:
        target = self._talk()[1]
        bound = {} if self._play_seconds is None else {"seconds": self._play_seconds}
        reply = self._ask({"play": doses, **bound}, seconds=self._play_seconds)
        if reply["gone"]:
            raise self._gone()
        if has_ended(target):
            raise died(target, _WHILE)
        problem = reply["problem"]
        return Played(
            done=reply["done"],
            failed=reply["failed"],
            seconds=reply["seconds"],
            problem=None if problem is None else self._told(problem),
            cpu_seconds=reply["cpu_seconds"],
        )

    def _gone(self, when: str = _WHILE) -> TargetDied:
        """Return the error for a place where nobody listens any more."""
        target = self._talk()[1]
        if has_ended(target, within_seconds=1.0):
            return died(target, when)
        place = self._address.place
        return TargetDied(f"the target still runs, but nothing listens on {place} any more; {last_words(target)}")

    def _told(self, text: str) -> str:
        """Text of the target as it may be shown."""
        return self._talk()[0].told(text)

    def _first_answer(
        self, question: Callable[[float], Mapping[str, object]], timeout_seconds: float
    ) -> dict[str, Any]:
        """Ask until nothing is missing; `question` gets the seconds for one try. Raises NotReady or TargetDied."""
        target = self._talk()[1]
        deadline = time.monotonic() + timeout_seconds
        refused = False
        pause = 0.01
        while True:
            left = deadline - time.monotonic()
            # Half of what is left: a server that never answers its very first connection gets further chances.
            seconds = max(0.1, min(left, max(2.0, left / 2)))
            answer = self._ask(question(seconds), _BEFORE, seconds)
            if "missing" not in answer:
                return answer
            if has_ended(target):
                raise died(target, _BEFORE)
            now = time.monotonic()
            if answer["missing"] == "refusal" and not refused:
                refused, deadline = True, min(deadline, now + _REFUSAL_SECONDS)
            if answer["missing"] in _FINAL or now + pause > deadline:
                raise self._not_ready(answer, f"after {timeout_seconds:g} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _not_ready(self, answer: Mapping[str, Any], after: str) -> NotReady:
        place, asked, option = self._address.place, self._address.asked, self._address.option
        said = self._told(answer["words"])
        if answer["missing"] == "garbage":
            sentence = f"{place} answers, but not HTTP: {said}; check port and scheme of {option}"
        elif answer["missing"] == "refusal":
            sentence = (
                f"{place} speaks HTTP, but {asked} is not answered as MCP: {said}; check the path of {option}; a token"
                " goes into --header 'Authorization: Bearer $TOKEN'"
            )
        elif answer["missing"] == "tls":
            sentence = (
                f"{place} takes connections, but not for https: {said}; say http:// if it is plain, or name its"
                " certificate in SSL_CERT_FILE"
            )
        elif answer["missing"] == "refused":
            sentence = (
                f"nothing listens on {place} {after} ({said}); check that COMMAND serves that port ({{port}} in both"
                " becomes a free one), or raise --ready-timeout"
            )
        else:
            sentence = (
                f"{place} takes connections, but {asked} has no answer {after} ({said});"
                " check the path, or raise --ready-timeout"
            )
        return NotReady(f"{sentence}; {last_words(self._talk()[1])}")
