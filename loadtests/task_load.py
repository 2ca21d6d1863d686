"""Plays the tasks of a user's own locustfile in known numbers.

Users are made, started and stopped as in Locust (`on_start`, `on_stop`, the events init, test_start, test_stop,
quitting); only what they do next is decided by tickets instead of chance, so weights and `wait_time` are ignored. An
operation has failed when its task raised, or when a request within it failed.

Does not see: requests of a greenlet that outlives its task.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import gevent
import locust
from gevent.event import Event
from gevent.queue import SimpleQueue
from locust import TaskSet, User, constant
from locust.env import Environment
from locust.exception import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from locust.runners import LocalRunner

from loadtests.mcp_wire import shown
from loadtests.tasks import BrokenError, Found, load, where
from loadtests.tickets import Play, Ticket, forget_statistics, spread, staff

TASK_SECONDS = 30.0
"""How long a task may take; then it is ended and has failed."""
GONE_SECONDS = 5.0
"""How long a host that refused a connection is tried again."""
_LEFT = (InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately)
_DEFAULT_PORTS = {"http": 80, "https": 443}

_UNDER_WAY: dict[gevent.Greenlet, Playing] = {}
"""Whose task runs in which greenlet."""


class Playing:
    """Makes a user class of a locustfile take tickets. Mixed in before it."""

    environment: Environment
    tickets: SimpleQueue[Ticket]
    path: str
    hosts: tuple[str, ...]
    start_problem: str | None = None
    """Why the last one of this class that could not start did not."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.begun = Event()
        self.problem: str | None = None
        """What went wrong in a request of the task that is under way."""
        self._entered: dict[type[TaskSet], TaskSet] = {}

    def on_start(self) -> None:
        """The user's own; then it is ready for tickets."""
        try:
            super().on_start()  # type: ignore[misc] # there is one in every User
        except Exception as error:
            type(self).start_problem = f"on_start of {type(self).__name__} failed: {where(error, self.path)}"
            raise
        self.begun.set()

    def on_stop(self) -> None:
        """Leave the TaskSets that were entered, innermost first; then the user's own."""
        while self._entered:
            _, entered = self._entered.popitem()
            entered.on_stop()
        super().on_stop()  # type: ignore[misc] # there is one in every User

    def entered_in(self, around: type[TaskSet], parent: Any) -> TaskSet:
        """Return this player's instance of a TaskSet, entered when it is first needed."""
        if around not in self._entered:
            entered = around(parent)
            entered.on_start()
            self._entered[around] = entered
        return self._entered[around]

    def take(self) -> None:
        """Play one ticket; a StopUser ends the player as in Locust, and another takes its place."""
        ticket = self.tickets.get()
        self.problem = None
        began, stopped = time.monotonic(), None
        _UNDER_WAY[gevent.getcurrent()] = self
        with gevent.Timeout(ticket.patience) as patience:
            try:
                ticket.work(self)
            except _LEFT:
                pass  # the task gave up its TaskSet: nothing to do where the TaskSet is flattened
            except StopUser as stop:
                stopped = stop
            except gevent.Timeout as expired:
                if expired is not patience:
                    raise
                self.problem = self.problem or f"it did not end within {ticket.patience:g} s"
            except (Exception, StopTest) as error:  # noqa: BLE001 - not hidden: it is the failure
                self.problem = self.problem or where(error, self.path)
            finally:
                del _UNDER_WAY[gevent.getcurrent()]
        ticket.play.ended(ticket.kind, time.monotonic() - began, self.problem and f"{ticket.kind}: {self.problem}")
        if self.problem and "refused" in self.problem and not listening(self.hosts, GONE_SECONDS):
            ticket.play.give_up(f"nothing listens at {' or '.join(self.hosts)} any more")
        if stopped:
            runner: Any = self.environment.runner
            runner.spawn_users({type(self).__name__: 1})  # the next user takes its place
            raise stopped


def note_failure(*, request_type: str, name: str, exception: object, **_: object) -> None:
    """Hear of every request: one that failed makes the task fail that it belongs to, also from a greenlet of it."""
    greenlet = gevent.getcurrent()
    while exception and greenlet is not None:
        if greenlet in _UNDER_WAY:
            words = f"{request_type} {shown(str(name), 100)}: {shown(str(exception))}"
            _UNDER_WAY[greenlet].problem = _UNDER_WAY[greenlet].problem or words
            return
        spawned_by = getattr(greenlet, "spawning_greenlet", None)
        greenlet = spawned_by() if spawned_by else None


def listening(hosts: tuple[str, ...], seconds: float) -> bool:
    """Whether every host accepts a connection within that time."""
    until, pause = time.monotonic() + seconds, 0.01
    for host in hosts:
        parts = urlsplit(host)
        where = (parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, 80))
        while True:
            try:
                socket.create_connection(where, timeout=max(0.1, until - time.monotonic())).close()
                break
            except OSError:
                if time.monotonic() > until:
                    return False
                gevent.sleep(pause)
                pause = min(2 * pause, 0.5)
    return True


class LocustfileLoad:
    """Operations of a user's own locustfile."""

    def __init__(self, concurrency: int, path: str, host: str | None) -> None:
        self._concurrency = concurrency
        self._path = path
        self._host = host
        self._operations: dict[str, Found] = {}
        self._hosts: tuple[str, ...] = ()
        self._not_played: list[dict[str, str]] = []
        self._players: dict[type[User], Any] = {}
        self._runner: LocalRunner | None = None

    def discover(self, seconds: float) -> dict[str, Any]:
        """Load the file, and wait until its hosts listen."""
        try:
            if self._runner is None:
                self._runner = self._load()
        except BrokenError as error:
            return {"broken": str(error)}
        hosts = self._hosts
        if not listening(hosts, seconds):
            return {"missing": "refused", "words": f"nothing listens at {' or '.join(hosts)}"}
        return {"operations": list(self._operations), "not_played": self._not_played, "hosts": list(hosts)}

    def plan(self, kinds: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
        """There is nothing to plan: a task is its own input."""
        raise ValueError(f"the tasks of a locustfile take no plan; got one of {sorted(kinds)}")

    def attempt(self, kind: str, index: int, seconds: float) -> dict[str, Any]:  # noqa: ARG002 - tasks have one input
        """Play a task once."""
        told = self._run({kind: 1}, seconds, patience=seconds)
        return {"problem": told.problem, "took": told.seconds.get(kind, 0.0), "gone": told.gone}

    def play(self, doses: Mapping[str, int], seconds: float) -> dict[str, Any]:
        """Play the doses, interleaved, each by the players of its user class."""
        return self._run(doses, seconds, patience=TASK_SECONDS).as_json()

    def close(self) -> None:
        """Stop the users, and let the locustfile hear of the end."""
        if self._runner is not None:
            self._runner.quit()
            self._runner.environment.events.quitting.fire(environment=self._runner.environment, reverse=True)

    def _load(self) -> LocalRunner:
        file = load(self._path, self._host)
        self._operations, self._not_played, self._hosts = file.operations, file.not_played, file.hosts
        self._players = {user: _playing(user, self._path, file.hosts) for user in file.users}
        users = list(self._players.values())
        environment = Environment(user_classes=users, events=locust.events, parsed_options=file.options)
        runner = environment.create_local_runner()
        environment.events.request.add_listener(note_failure)
        environment.events.init.fire(environment=environment, runner=runner, web_ui=None)
        environment.events.test_start.fire(environment=environment)
        return runner

    def _run(self, doses: Mapping[str, int], seconds: float, *, patience: float) -> Play:
        """Play the doses; the tasks of a user class without a player are not played, and the reason is told."""
        runner = self._runner
        if runner is None:
            raise ValueError("discover before you play")
        wanted = {self._players[self._operations[kind].user] for kind in doses}
        told = Play()
        try:
            staff(runner, {player.__name__: self._concurrency for player in wanted})
        except (Exception, StopTest) as error:  # noqa: BLE001 - not hidden: it is the problem that is told
            told.problem = f"a user cannot be made: {where(error, self._path)}"
        there = runner.user_classes_count
        for player in wanted:
            if not there[player.__name__]:
                told.problem = told.problem or player.start_problem
        tickets = []
        for kind, _ in spread(doses):
            found = self._operations[kind]
            player = self._players[found.user]
            if there[player.__name__]:
                tickets.append((player.tickets, Ticket(play=told, kind=kind, work=found.play, patience=patience)))
        told.run(tickets, seconds)
        forget_statistics(runner)
        return told


def _playing(user: type[User], path: str, hosts: tuple[str, ...]) -> Any:
    """Return the user class as one that takes tickets."""
    own = {"tickets": SimpleQueue(), "path": path, "hosts": hosts, "wait_time": constant(0)}
    kind: Any = type(user)  # Locust's metaclass
    made = kind(user.__name__, (Playing, user), own)
    made.tasks = [Playing.take]  # the class would inherit the user's own besides
    return made
