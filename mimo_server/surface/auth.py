"""A bearer token in front of everything that HTTP serves but /health.

There is one token, chosen at the start and opaque: it has no audience, no expiry, no algorithm, and no address to be
asked about it, so nothing of the kind can be forged or confused. Whoever has it is the one user; every session is
therefore that user's. It is taken from the Authorization header only, compared in a time that tells nothing of it,
and goes no further than this file: what is behind it sees no Authorization header.
"""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mimo_server.supervision.refusals import Refusals

_OPEN = frozenset({"/health"})
"""Asked by who starts servers, often, and says nothing of what is stored."""
_CURE = "this server asks for a token; send it as the header 'Authorization: Bearer TOKEN'\n"


def authorized(app: ASGIApp, token: str | None, refusals: Refusals) -> ASGIApp:
    """Put `app` behind the token; None: as it is. Who has none is answered 401 before any of the body is read.

    To be put in front of everything: it notes what it refuses itself.
    """
    if token is None:
        return app
    expected = token.encode()

    async def asking(scope: Scope, receive: Receive, send: Send) -> None:
        given = Headers(scope=scope).getlist("authorization")
        if scope["path"] in _OPEN or (len(given) == 1 and _fits(given[0], expected)):
            scope["headers"] = [header for header in scope["headers"] if header[0] != b"authorization"]
            await app(scope, receive, send)
            return
        refusals.note(f"{scope.get('method', 'websocket')} {scope['path']}")
        await _refusal(given)(scope, receive, send)

    return asking


def _fits(header: str, expected: bytes) -> bool:
    scheme, _, given = header.partition(" ")
    return hmac.compare_digest(given.strip(" ").encode(), expected) and scheme.lower() == "bearer"


def _refusal(given: list[str]) -> PlainTextResponse:
    """Over a websocket, Starlette sends it in place of the handshake."""
    bearer = any(header.partition(" ")[0].lower() == "bearer" for header in given)
    challenge = 'Bearer error="invalid_token"' if bearer else "Bearer"
    return PlainTextResponse(_CURE, 401, {"WWW-Authenticate": challenge})
