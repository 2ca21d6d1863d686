"""Users whose tasks are round trips: they leave the server as they found it, and every answer is checked to be theirs.

In Locust's statistics a row `ROUND` is such a task with the verdict on its content, the rows `POST` are its requests,
and a row `BUSY` counts refusals because a limit was full. Those are no failures as long as they are few.

Does not see: that a server is slow.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import random
import re
import string
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import gevent
from locust import events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests import arrivals  # noqa: F401 - adds --arrival-rate
from loadtests.mcp_user import McpUser
from loadtests.mcp_wire import HANDSHAKE, IDS, MODERN, Answer, Expect, MissingError, WrongError, shown

BUSY_SHARE = 0.05
"""Of a user's calls: more refusals than this (and than a few) are failures."""
BUSY_FEW = 5
BUSY_SECONDS = 10.0
"""How long a call that was refused as busy is tried again."""
STOP_SECONDS = "20"
"""At the end of a run tasks may finish, so that nothing is left behind."""
_BUSY = re.compile(r"\bbusy\b|\bin use\b|\bare full; try again|\bcalls wait for\b")
_RANDOM = random.SystemRandom()
_END = "end_of_the_run"
"""The message of a worker that has reached the end, or cannot go on, to its master."""
_ERAS = itertools.cycle((HANDSHAKE[-1], MODERN))
User = TypeVar("User", bound="CheckedUser")
Result = TypeVar("Result")


def add_options(parser: LocustArgumentParser) -> None:
    """Bind Locust's own ports to this machine, and let tasks finish."""
    parser.set_defaults(web_host="127.0.0.1", master_bind_host="127.0.0.1", stop_timeout=STOP_SECONDS)
    parser.add_argument(
        "--answer-seconds",
        type=float,
        default=10.0,
        env_var="ANSWER_SECONDS",
        help="How long the server waits for a skill: answer_seconds in its catalog",
    )


events.init_command_line_parser.add_listener(add_options)


def end_run(environment: Environment, code: int) -> None:
    """End the run from any process of it, and make `code` its exit code unless that is 0; a web UI stays."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        runner.send_message(_END, {"code": code})
    elif runner is not None:
        if code:
            environment.process_exit_code = code
        headless = environment.parsed_options is not None and environment.parsed_options.headless
        gevent.spawn(runner.quit if headless else runner.stop)


def _hear_of_the_end(environment: Environment, **_: object) -> None:
    if isinstance(environment.runner, MasterRunner):
        environment.runner.register_message(_END, lambda msg, **_: end_run(environment, msg.data["code"]))


events.init.add_listener(_hear_of_the_end)


def must(holds: object, words: str) -> None:
    """Raise WrongError with these words unless it holds."""
    if not holds:
        raise WrongError(shown(words))


def word() -> str:
    """A word that nobody else has, of letters: with its parts it is like no other either."""
    return "".join(_RANDOM.choices(string.ascii_lowercase, k=12))


def phrase(count: int = 3) -> str:
    """Several such words."""
    return " ".join(word() for _ in range(count))


def round_trip(play: Callable[[User], None]) -> Callable[[User], None]:
    """Tell Locust of a task as one request, which has failed when an answer was missing or wrong."""

    @functools.wraps(play)
    def told(user: User) -> None:
        began, failure = time.perf_counter(), None
        try:
            play(user)
        except (MissingError, WrongError) as error:
            failure = error
        user.tell("ROUND", play.__qualname__, time.perf_counter() - began, failure)

    return told


class CheckedUser(McpUser):
    """Calls tools and looks at what comes back. One in two speaks the modern era of MCP."""

    abstract = True
    soon_seconds = 5.0
    """What happens beside the answers (a run of a procedure, the end of a connection) has happened by then."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.era = next(_ERAS)
        self.answer_seconds = float(getattr(environment.parsed_options, "answer_seconds", 10.0))
        self.patience = max(self.patience, self.answer_seconds + 5.0)
        self.calls = self._refusals = 0

    def on_start(self) -> None:
        """Open the session, so that none is opened later."""
        self.kept(self.era)

    def tool(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """Call a tool and return its structured content; while it is busy, again. Raises WrongError, MissingError."""
        return content(name, self._settled(name, arguments))

    def refused(self, name: str, /, **arguments: Any) -> str:
        """Call a tool that must answer with an error; return its text."""
        result = self._settled(name, arguments)
        must(result.get("isError"), f"{name} {arguments} was accepted, where an error must come: {result}")
        return text_of(result)

    def answer(
        self, method: str, params: Mapping[str, Any] | None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The result of a request, also one with isError. Raises WrongError for an error of the protocol or of HTTP."""

        def ask(session: Any) -> tuple[dict[str, Any], Answer]:
            return self.exchange(session, next(IDS), method, params, expect=Expect.ANSWER, headers=headers)

        result, answer = self.within(self.era, ask)
        must(answer.message is not None, f"{method} {params}: answers {answer.status}: {answer.said}")
        must("error" not in (answer.message or {}), f"{method} {params}: {answer.message}")
        return result

    def together(self, works: list[Callable[[], Result]]) -> list[Result]:
        """Do all at once; their results in order. Raises what the first of them that failed raised."""

        def ended(work: Callable[[], Result]) -> Result | MissingError | WrongError:
            try:
                return work()
            except (MissingError, WrongError) as error:
                return error

        greenlets = [gevent.spawn(ended, work) for work in works]
        gevent.joinall(greenlets)  # all of them: none may be left behind when one fails
        # Kept connections but the last would idle until the server closes them, perhaps at the moment of sending.
        self.drop_connections()
        results: list[Result] = []
        for greenlet in greenlets:
            if isinstance(result := greenlet.get(), MissingError | WrongError):
                raise result
            results.append(result)
        return results

    def eventually(self, look: Callable[[], Result], words: str) -> Result:
        """Return what `look` finds as soon as it is true. Raises WrongError when it is not soon."""
        until, pause = time.monotonic() + self.soon_seconds, 0.005
        while not (found := look()):
            must(time.monotonic() < until, f"{words}, after {self.soon_seconds:g} s")
            gevent.sleep(pause)
            pause = min(2 * pause, 0.2)
        return found

    @contextlib.contextmanager
    def remembered(self, *drafts: dict[str, Any]) -> Iterator[list[int]]:
        """Store memories, one by `memory_store`, several at once; yield their ids; forget them."""
        if len(drafts) == 1:
            ids = [self.tool("memory_store", **drafts[0])["id"]]
        else:
            ids = self.tool("memory_store_many", memories=list(drafts))["ids"]
        try:
            must(len(set(ids)) == len(drafts), f"{len(drafts)} memories were stored under the ids {ids}")
            yield ids
        except BaseException:
            with contextlib.suppress(WrongError, MissingError):  # the first failure is the one to tell
                self._forget(ids)
            raise
        self._forget(ids)

    def tell(self, kind: str, name: str, seconds: float, failure: Exception | None = None) -> None:
        """Enter a row into Locust's statistics."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=seconds * 1000.0,
            response_length=0,
            exception=failure,
            context=self.context(),
        )

    def note_busy(self, name: str, words: str, seconds: float) -> None:
        """Count a refusal because a limit was full. Raises WrongError when there are too many among `calls`."""
        self._refusals += 1
        self.tell("BUSY", name, seconds)
        most = BUSY_FEW + BUSY_SHARE * self.calls
        must(self._refusals <= most, f"{self._refusals} of {self.calls} calls refused: {words}")

    def _forget(self, ids: list[int]) -> None:
        for number in ids:
            forgotten = self.tool("memory_forget", id=number)["forgotten"]
            must(forgotten == 1, f"memory_forget of {number} says that it forgot {forgotten}")

    def _settled(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        until, pause = time.monotonic() + BUSY_SECONDS, 0.05
        while True:
            began = time.perf_counter()
            result = self.answer("tools/call", {"name": name, "arguments": arguments})
            self.calls += 1
            if not (result.get("isError") and _BUSY.search(text_of(result))):
                return result
            self.note_busy(name, text_of(result), time.perf_counter() - began)
            must(time.monotonic() < until, f"{name} is refused for {BUSY_SECONDS:g} s: {text_of(result)}")
            gevent.sleep(pause * _RANDOM.uniform(0.5, 1))
            pause = min(2 * pause, 1.0)


def text_of(result: Mapping[str, Any]) -> str:
    """The first text in a result."""
    items = result.get("content")
    texts = (item.get("text") for item in items if isinstance(item, dict)) if isinstance(items, list) else ()
    return next((text for text in texts if isinstance(text, str)), "")


def content(name: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """The structured content of a good result, which says the same as its text. Raises WrongError."""
    must(not result.get("isError"), f"{name}: isError: {text_of(result)}")
    structured = result.get("structuredContent")
    if not isinstance(structured, dict):
        raise WrongError(shown(f"{name}: no structured content in {result}"))
    try:
        same = json.loads(text_of(result)) == structured
    except ValueError:
        same = False
    must(same, f"{name}: its text {text_of(result)} is not its structured content {structured}")
    return structured
