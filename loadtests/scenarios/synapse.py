"""Connections of agents that break, in numbers.

Wrong: something that a connection that was broken leaves behind (ws_subscription).

Leaves: nothing.
"""

from __future__ import annotations

from locust import task

from loadtests.agent_wire import Agent
from loadtests.checked import CheckedUser, must, phrase, round_trip


class Synapse(CheckedUser):
    """Joins and is gone."""

    @task
    @round_trip
    def drops(self) -> None:
        """Join, subscribe to alerts, see that it is so, ask something, and break off."""
        with Agent(self, phrase(1)) as agent:
            agent.say("subscribe", topics=["system:alert"])
            topics = agent.hear("topics").get("topics")
            must("system:alert" in (topics or ()), f"after subscribing to alerts the topics are {topics}")
            agent.say("query", ref="q", query=phrase())
            agent.drop()

    @task
    @round_trip
    def pings(self) -> None:
        """A call that has nothing to do with it."""
        must(self.tool("agent_ping", agent="a")["reply"] == "a heard ping", "agent_ping answers something else")
