"""Tools about skills. The skills' own tools come from the catalog (surface/offer.py)."""

from __future__ import annotations

from mcp.shared.subscriptions import ToolsListChanged
from pydantic import Field

from mimo_server.surface.tools import RESETS, Call, Nothing, Result, tool


class ReloadedResult(Result):
    """What is offered now."""

    tools: int = Field(ge=0, description="Tools of all skills in the catalog")


@tool(RESETS)
async def skills_reload(call: Call, arguments: Nothing) -> ReloadedResult:  # noqa: ARG001 -- every tool has arguments
    """Read the catalog of skills again. Those that changed or went end when their calls have; the others run on."""
    await call.app.skills.reload()
    await call.app.subscriptions.publish(ToolsListChanged())
    return ReloadedResult(tools=len(call.app.skills.catalog.offered()))
