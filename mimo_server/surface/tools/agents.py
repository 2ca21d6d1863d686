"""Tools for agents and interrupts, in this process: what other agents do comes over the websocket."""

from __future__ import annotations

from pydantic import Field

from mimo_server.surface.tools import READS, Arguments, Call, Result, tool


class PingArguments(Arguments):
    """Whom to ask."""

    agent: str = Field(default="a", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Name of the agent")


class PongResult(Result):
    """What the agent answered."""

    reply: str


class InterruptArguments(Arguments):
    """Why to interrupt."""

    reason: str = Field(default="user", min_length=1, max_length=256, description="Reason of the interrupt")


class InterruptResult(Result):
    """Whether the check saw the interrupt."""

    seen: bool
    reason: str


@tool(READS)
async def agent_ping(call: Call, arguments: PingArguments) -> PongResult:
    """Open a connection to an agent, exchange one message, and close it."""
    async with call.app.synapse.connections.to(arguments.agent) as connection:
        return PongResult(reply=await connection.ask("ping"))


@tool(READS)
async def interrupt_check(call: Call, arguments: InterruptArguments) -> InterruptResult:
    """Raise an interrupt, see that a check finds it, and take it back."""
    seen = call.app.synapse.interrupts.raise_and_check(arguments.reason)
    return InterruptResult(seen=seen, reason=arguments.reason)
