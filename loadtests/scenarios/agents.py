"""Agents over websockets: each gets its own results and messages, interrupts interrupt, and who left is gone.

Wrong: a result under another's ref, an interrupt that nobody heeds, a message that comes twice or to a third, and a
connection that lives on after it was broken (ws_subscription).
"""

from __future__ import annotations

import time
from typing import Any

import gevent
from locust import task

from loadtests.agent_wire import Agent
from loadtests.checked import CheckedUser, must, phrase, round_trip

AGAIN_SECONDS = 0.2
"""After which a query that was refused as busy is asked again."""
ATTEMPTS = 20
"""A query may be faster than its interrupt, but not always."""


class Agents(CheckedUser):
    """Opens connections of its own, several at once."""

    @task(3)
    @round_trip
    def asks(self) -> None:
        """Three queries at once: each answer has the ref of its question."""
        contents = [phrase() for _ in range(3)]
        with self.remembered(*({"content": one} for one in contents)) as ids, Agent(self, self.name()) as agent:
            for number, text in enumerate(contents):
                agent.say("query", ref=f"q{number}", query=text, limit=5)
            for number, memory in enumerate(ids):
                found = self.answered(agent, f"q{number}", contents[number])
                must(found, "a query for what is stored came back empty, without an error")
                first = {key: found[0].get(key) for key in ("id", "content")}
                must(first == {"id": memory, "content": contents[number]}, f"q{number} finds {first} first")
                must(len(found) <= 5, f"{len(found)} memories where 5 were asked")

    @task(2)
    @round_trip
    def interrupts(self) -> None:
        """A query that is interrupted in time has no result, and says why."""
        reason = phrase()
        with Agent(self, self.name()) as agent:
            for number in range(ATTEMPTS):
                ref = f"i{number}"
                agent.say_all(
                    {"type": "query", "ref": ref, "query": phrase()},
                    {"type": "interrupt", "ref": ref, "reason": reason},
                )
                end = agent.hear("result", "interrupted", ref=ref)
                if end["type"] == "interrupted":
                    must(end.get("reason") == reason, f"interrupted with {end}, not for {reason!r}")
                    must(not agent.heard("result"), "an interrupted query has a result besides")
                    return
                agent.hear("error", ref=ref, code="not_found", seconds=self.soon_seconds)
            must(False, f"none of {ATTEMPTS} interrupts came in time")

    @task(3)
    @round_trip
    def talks(self) -> None:
        """What one agent sends another gets, once, and a third does not."""
        with Agent(self, self.name()) as one, Agent(self, self.name()) as two, Agent(self, self.name()) as third:
            third.say("subscribe", topics=["system:alert"])
            third.hear("topics")
            for teller, listener in ((one, two), (two, one)):
                message = phrase()
                teller.say("send", to=listener.name, message=message)
                sent, heard = teller.hear("sent", to=listener.name), listener.hear("message")
                must(sent["connections"] == 1, f"a message to one connection reached {sent['connections']}")
                got = (heard.get("from"), heard.get("message"))
                must(got == (teller.name, message), f"{message!r} was sent by {teller.name}, and {got} came")
            must(not two.heard("message"), "a message came twice")
            must(not third.heard("message"), "a third agent hears what was sent to another")
            one.say("subscribe", topics=[f"agent:{two.name}"])
            one.hear("error", code="invalid")

    @task(2)
    @round_trip
    def drops(self) -> None:
        """Break off in the middle; who joins under that name again is alone there."""
        name = self.name()
        with Agent(self, name) as gone:
            gone.say("subscribe", topics=["system:alert"])
            gone.hear("topics")
            gone.say("query", ref="q", query=phrase())
            gone.drop()
        with Agent(self, name) as again, Agent(self, self.name()) as other:
            sent = 0

            def alone() -> bool:
                nonlocal sent
                sent += 1
                other.say("send", to=name, message=phrase())
                return bool(other.hear("sent", to=name)["connections"] == 1)

            self.eventually(alone, f"messages to {name} reach a connection that was broken")
            came = again.heard("message")
            must(came == sent, f"{sent} messages were sent and {came} came")

    @task(1)
    @round_trip
    def closes(self) -> None:
        """Open and close properly."""
        with Agent(self, self.name()) as agent:
            must(not agent.heard("message"), "an agent that nobody knows yet has a message")

    def answered(self, agent: Agent, ref: str, text: str) -> list[dict[str, Any]]:
        """The memories for a query that was asked; while it is refused as busy, it is asked again."""
        while True:
            began = time.perf_counter()
            agent.hear("accepted", ref=ref)
            end = agent.hear("result", "error", ref=ref)
            self.calls += 1
            if end["type"] == "result":
                memories: list[dict[str, Any]] = end["memories"]
                return memories
            must(end.get("code") == "limit", f"a query ends with {end}")
            self.note_busy("query", end.get("message", ""), time.perf_counter() - began)
            gevent.sleep(AGAIN_SECONDS)
            agent.say("query", ref=ref, query=text, limit=5)

    @staticmethod
    def name() -> str:
        """Of an agent that nobody else is."""
        return phrase(1)
