"""MCP over HTTP under load, for a person to watch, against a server that runs already.

    locust -f loadtests/locustfile.py --host http://127.0.0.1:8000

It plays what an audit plays: calls, and by their weights sessions, rejected requests, dropped connections,
cancellations and abandoned sessions, in every era that the server speaks. Tools are called when they declare
themselves read-only and closed-world, or when they are named. The web UI listens on 127.0.0.1 unless `--web-host` says
otherwise: any page in a browser may read it and start a run.

Does not see: leaks. The tab "Resources" and the page /resources show what `leakcheck watch` sees.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gevent
from gevent.lock import BoundedSemaphore
from locust import between, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import WorkerRunner

from loadtests import (
    arrivals,  # noqa: F401 - adds --arrival-rate
    resources,  # noqa: F401 - adds its tab to the web UI
)
from loadtests.arguments import smallest
from loadtests.discovery import Era, discover
from loadtests.mcp_user import McpUser
from loadtests.mcp_wire import Expect, MissingError, WrongError, shown
from loadtests.operations import Input, play

logger = logging.getLogger(__name__)
WEIGHTS = {"call": 10, "session": 1, "reject": 1, "disconnect": 1, "cancel": 1, "abandon": 0}
"""Of the ways, unless the command line or the web form says otherwise."""
Rpc = tuple[str, Mapping[str, Any] | None]


class Joined(argparse.Action):
    """Lets an option be repeated, and stay the one line of text that the web form can show."""

    def __call__(
        self,
        parser: Any,  # noqa: ARG002 - as argparse calls it
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002 - likewise
    ) -> None:
        """Add to what was given before."""
        before = getattr(namespace, self.dest)
        setattr(namespace, self.dest, f"{before} {values}" if before else values)


def add_options(parser: LocustArgumentParser) -> None:
    """Add ours, which the web form shows too, and bind Locust's own ports to this machine."""
    # Locust's defaults are all interfaces, and its answers may be read by any web page.
    parser.set_defaults(web_host="127.0.0.1", master_bind_host="127.0.0.1")
    parser.add_argument("--mcp-path", default="/mcp", env_var="MCP_PATH", help="Path of the MCP endpoint")
    parser.add_argument(
        "--mcp-header",
        default="",
        env_var="MCP_HEADER",
        include_in_web_ui=False,  # it would stand in the page
        help="A header for every request: 'Authorization: Bearer …'",
    )
    parser.add_argument(
        "--mcp-tool",
        default="",
        action=Joined,
        help="Tools to call, by name: repeated, or separated by commas or blanks. Default: those that declare "
        "themselves read-only and closed-world",
    )
    parser.add_argument("--mcp-arguments", default="", action=Joined, help='TOOL=JSON, repeated: echo={"text": "hi"}')
    for way, weight in WEIGHTS.items():
        parser.add_argument(f"--mcp-{way}", type=int, default=weight, help=f"Weight of the operation {way}")


def arguments_given(text: str) -> dict[str, Mapping[str, Any]]:
    """Read `TOOL={…} TOOL={…}`. Raises ValueError with what is wrong."""
    given: dict[str, Mapping[str, Any]] = {}
    rest = text.strip()
    while rest:
        tool, equals, rest = rest.partition("=")
        try:
            arguments, end = json.JSONDecoder().raw_decode(rest.lstrip())
        except ValueError as error:
            raise ValueError(f'--mcp-arguments {text!r}: give TOOL=JSON, as echo={{"text": "hi"}} ({error})') from error
        if not equals or not isinstance(arguments, dict):
            raise ValueError(f"--mcp-arguments {text!r}: the arguments of a tool are a JSON object")
        given[tool.strip(" ,")] = arguments
        rest = rest.lstrip()[end:].lstrip(" ,")
    return given


def calls(era: Era, options: argparse.Namespace) -> Iterator[Rpc]:
    """Yield the calls to play in an era; the log says which tools are left out, and why."""
    given = arguments_given(options.mcp_arguments)
    named = set(options.mcp_tool.replace(",", " ").split()) | given.keys()
    for name in sorted(named - {str(tool.get("name")) for tool in era.tools}):
        logger.warning("%s: there is no tool %s", era.version, name)
    for tool in era.tools:
        name, hints = str(tool.get("name")), tool.get("annotations")
        harmless = isinstance(hints, dict) and hints.get("readOnlyHint") is True and hints.get("openWorldHint") is False
        arguments = given.get(name, smallest(tool.get("inputSchema")))
        if not (name in named if named else harmless):
            reason = "not named" if named else "it does not declare itself read-only and closed-world: name it"
        elif arguments is None:
            reason = "its schema requires more than plain values: give --mcp-arguments"
        else:
            yield "tools/call", {"name": name, "arguments": arguments}
            continue
        logger.info("%s: tool %s is not called: %s", era.version, shown(name), reason)


def answered(user: McpUser, era: Era, options: argparse.Namespace) -> Iterator[Rpc]:
    """Yield the calls that are worth playing: a tool that nobody named may want arguments that nobody gave."""
    is_named = bool(options.mcp_tool or options.mcp_arguments)
    for rpc in calls(era, options):
        result = {} if is_named else user.ask(user.kept(era.version), *rpc, expect=Expect.ANSWER)
        if result.get("isError"):
            reason = "it answers its smallest arguments with an error: give --mcp-arguments"
            logger.info("%s: tool %s is not called: %s", era.version, shown(str((rpc[1] or {}).get("name"))), reason)
        else:
            yield rpc


def inputs(era: Era, rpcs: list[Rpc]) -> Iterator[Input]:
    """Yield what can be played in an era."""
    chosen = rpcs or [("tools/list", None)]
    nobody: Rpc = ("tools/call", {"name": "no-such-tool", "arguments": {}})

    def made(way: str, rpc: Rpc, expect: Expect = Expect.RESULT, variant: str | None = None) -> Input:
        return Input(way=way, era=era.version, words=f"{way} {rpc[0]}", expect=expect, rpc=rpc, variant=variant)

    for rpc in chosen:
        yield made("call", rpc)
        yield made("cancel", rpc, Expect.ANSWER)
        yield made("disconnect", rpc, variant="after_sending")
        yield made("disconnect", rpc, variant="after_first_bytes")
    for rpc in (nobody, ("no-such/method", {})):
        yield made("reject", rpc, Expect.ERROR)
    yield made("reject", chosen[0], Expect.ERROR, "wrong_content_type")
    if era.stream:
        yield made("disconnect", chosen[0], variant="stream")
    if era.session:
        yield made("session", chosen[0])
        yield made("abandon", chosen[0])
        yield made("reject", chosen[0], Expect.ERROR, "get_without_session")
        yield made("reject", chosen[0], Expect.ERROR, "unknown_session")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What the users of one run choose from."""

    weights: list[int]
    ways: list[list[Input]]

    @classmethod
    def of(cls, user: McpUser, options: argparse.Namespace) -> Scenario:
        """Ask the server what it speaks. Raises MissingError, WrongError or ValueError."""
        found = discover(user)
        found.prepare(type(user))
        for version, words in found.failures.items():
            logger.info("%s is not spoken: %s", version, words)
        every = [given for era in found.eras for given in inputs(era, list(answered(user, era, options)))]
        weights = {way: getattr(options, f"mcp_{way}") for way in WEIGHTS}
        ways = {way: [given for given in every if given.way == way] for way in WEIGHTS if weights[way] > 0}
        played = {way: choice for way, choice in ways.items() if choice}
        if not played:
            raise ValueError(f"nothing to play with these weights: {weights}")
        return cls(weights=[weights[way] for way in played], ways=list(played.values()))

    def next(self) -> Input:
        """Return what to play next."""
        return random.choice(random.choices(self.ways, self.weights)[0])  # noqa: S311 - no secret


class McpScenario(McpUser):
    """A user that plays operations by their weights."""

    wait_time = between(0.1, 0.5)
    scenario: ClassVar[Scenario | None] = None
    _finding: ClassVar[BoundedSemaphore] = BoundedSemaphore(1)

    def __init__(self, environment: Environment) -> None:
        options: Any = environment.parsed_options
        self.options = options
        self.mcp_path = options.mcp_path
        name, colon, value = options.mcp_header.partition(":")
        self.default_headers = {name.strip(): value.strip()} if colon else {}
        super().__init__(environment)

    def on_start(self) -> None:
        """Find out what there is to play: the first user of a run does, for all."""
        with self._finding:
            if self.scenario is None:
                try:
                    type(self).scenario = Scenario.of(self, self.options)
                except (MissingError, WrongError, ValueError) as error:
                    self.give_up(f"no run against {self.url}: {error}")

    def give_up(self, words: str) -> None:
        """End the run: no user could do better."""
        logger.error("%s", words)
        runner = self.environment.runner
        if runner is not None and not isinstance(runner, WorkerRunner):
            self.environment.process_exit_code = 1
            gevent.spawn(runner.quit if self.options.headless else runner.stop)
        raise StopUser

    @task
    def operation(self) -> None:
        """Play one; what fails is in Locust's statistics already."""
        if self.scenario is None:
            raise StopUser
        try:
            play(self, self.scenario.next())
        except (MissingError, WrongError) as error:
            logger.debug("%s", error)


def forget(environment: Environment) -> None:  # noqa: ARG001 - what Locust fires
    """Each run finds out anew: the server or the form may have changed."""
    McpScenario.scenario = None


events.init_command_line_parser.add_listener(add_options)
events.test_start.add_listener(forget)
