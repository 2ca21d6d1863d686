"""How a request ended, seen where the SDK has the answer and remembered where HTTP needs it.

In the handshake era a refusal by the protocol is an HTTP 200 like any success, so the status alone says too little.
"""

from __future__ import annotations

from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from starlette.requests import Request
from starlette.types import Scope

from mimo_server.supervision.refusals import Refusals


def outcomes(refusals: Refusals) -> ServerMiddleware[Any]:
    """Middleware of the SDK's server: notes refusals, over HTTP on the request, else directly.

    Does not see: what is refused before it is a message of MCP (a line that is no JSON-RPC, an HTTP header).
    """

    async def watched(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        refused = True
        try:
            result = await call_next(ctx)
            refused = isinstance(result, dict) and result.get("isError") is True
        except Exception:
            _note(ctx, refusals, refused=refused)
            raise
        _note(ctx, refusals, refused=refused)
        return result

    return watched


def _note(ctx: ServerRequestContext[Any, Any], refusals: Refusals, *, refused: bool) -> None:
    if ctx.request_id is None:  # a notification has no answer
        return
    if isinstance(ctx.request, Request):
        state = ctx.request.scope.setdefault("state", {})  # of Request.state, without its two objects
        state["refused"] = refused
        state["initialized"] = ctx.method == "initialize" and not refused
    elif refused:
        refusals.note(ctx.method)


def was_refused(scope: Scope) -> bool:
    """Whether the request of this scope reached the SDK's server and was answered with an error there."""
    return bool(scope.get("state", {}).get("refused", False))


def mark_refused(scope: Scope) -> None:
    """Remember it of a request that is refused before the SDK's server sees it, though its status says nothing."""
    scope.setdefault("state", {})["refused"] = True


def was_initialized(scope: Scope) -> bool:
    """Whether the request of this scope was an `initialize` that succeeded."""
    return bool(scope.get("state", {}).get("initialized", False))
