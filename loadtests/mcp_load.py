"""Plays the operations of MCP over HTTP in known numbers: the players of an audit.

Does not see: how long an operation waited for a player.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

import gevent
from gevent.event import Event
from gevent.queue import SimpleQueue
from locust.env import Environment

from loadtests.discovery import Discovery, discover
from loadtests.mcp_user import PATIENCE_SECONDS, McpUser
from loadtests.mcp_wire import HANDSHAKE, MissingError, WrongError
from loadtests.operations import Input, play
from loadtests.tickets import Play, Ticket, forget_statistics, spread, staff

REFUSED_SECONDS = 5.0
"""How long a refused connection is tried again: a supervisor may be replacing the server."""
_OWN_SESSIONS = frozenset({"session", "abandon"})


class Player(McpUser):
    """An MCP user that plays what tickets ask for."""

    tickets: ClassVar[SimpleQueue[Ticket]]
    eras: ClassVar[tuple[str, ...]] = ()
    """In which it opens its long-lived session at once, so that none is a step after the first floor."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.begun = Event()

    def on_start(self) -> None:
        """Open the sessions; what fails here is tried again, and told, by the operations."""
        for version in self.eras:
            try:
                self.kept(version)
            except (MissingError, WrongError):
                break
        self.begun.set()

    def take(self) -> None:
        """Play one ticket; while the connection is refused, again, for up to 5 s."""
        ticket = self.tickets.get()
        self.patience = ticket.patience
        began, pause = time.monotonic(), 0.01
        while not ticket.play.gone:
            problem = None
            try:
                ticket.work(self)
            except WrongError as error:
                problem = str(error)
            except MissingError as error:
                problem = str(error)
                if error.kind == "refused" and time.monotonic() - began < REFUSED_SECONDS:
                    gevent.sleep(pause)
                    pause = min(2 * pause, 0.5)
                    continue
                if error.kind == "refused":
                    ticket.play.give_up(f"nothing listens at {self.url} any more")
                    continue
            except Exception as error:  # noqa: BLE001 - not hidden: it is the failure, and every ticket must end
                problem = f"the load failed: {type(error).__name__}: {error}"
            ticket.play.ended(ticket.kind, time.monotonic() - began, problem)
            return
        ticket.play.not_played()

    tasks: list[Any] = [take]  # noqa: RUF012 - as User declares it


class McpLoad:
    """Operations of MCP over HTTP."""

    def __init__(self, concurrency: int, url: str, headers: Mapping[str, str]) -> None:
        self._concurrency = concurrency
        parts = urlsplit(url)
        Player.host = f"{parts.scheme}://{parts.netloc}"
        Player.mcp_path = parts.path + (f"?{parts.query}" if parts.query else "")
        Player.default_headers = dict(headers)
        Player.tickets = SimpleQueue()
        self._environment = Environment(user_classes=[Player])
        self._runner = self._environment.create_local_runner()
        self._found: Discovery | None = None
        self._inputs: dict[str, list[Input]] = {}

    def discover(self, seconds: float) -> dict[str, Any]:
        """Try both eras with a user of its own."""
        scout = Player(self._environment)
        scout.patience = seconds
        try:
            self._found = discover(scout)
        except MissingError as error:
            return {"missing": error.kind, "words": str(error)}
        except WrongError as error:
            return {"missing": "refusal", "words": str(error)}
        finally:
            scout.drop_connections()
            forget_statistics(self._runner)
        self._found.prepare(Player)
        return self._found.as_json()

    def plan(self, kinds: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
        """Take the inputs, and open the players' sessions."""
        self._inputs = {kind: [Input.from_json(line) for line in lines] for kind, lines in kinds.items()}
        used = {given.era for inputs in self._inputs.values() for given in inputs if given.way not in _OWN_SESSIONS}
        Player.eras = tuple(version for version in HANDSHAKE if version in used)
        self._staff()
        return {"planned": True}

    def attempt(self, kind: str, index: int, seconds: float) -> dict[str, Any]:
        """Play one input once."""
        told = Play()
        told.run([(Player.tickets, self._ticket(told, kind, index, seconds))], seconds + REFUSED_SECONDS)
        forget_statistics(self._runner)
        return {"problem": told.problem, "took": told.seconds.get(kind, 0.0), "gone": told.gone}

    def play(self, doses: Mapping[str, int], seconds: float) -> dict[str, Any]:
        """Play the doses, interleaved; each kind begins with its first input."""
        self._staff()
        told = Play()
        tickets = (self._ticket(told, kind, number, PATIENCE_SECONDS) for kind, number in spread(doses))
        told.run(((Player.tickets, ticket) for ticket in tickets), seconds)
        forget_statistics(self._runner)
        return told.as_json()

    def close(self) -> None:
        """Stop the players: each closes its sessions."""
        self._runner.quit()

    def _staff(self) -> None:
        staff(self._runner, {"Player": self._concurrency})

    def _ticket(self, told: Play, kind: str, number: int, patience: float) -> Ticket:
        given = self._inputs[kind][number % len(self._inputs[kind])]

        def work(player: Player) -> None:
            try:
                play(player, given)
            except WrongError as error:
                raise WrongError(f"{given.words}: {error}") from error
            except MissingError as error:
                raise MissingError(error.kind, f"{given.words}: {error}") from error

        return Ticket(play=told, kind=kind, work=work, patience=patience)
