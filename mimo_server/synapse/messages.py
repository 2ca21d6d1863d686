"""What an agent may say: one model for each type, and nothing besides."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from mimo_server.errors import InvalidError
from mimo_server.synapse.router import AGENT

Ref = Annotated[str, Field(min_length=1, max_length=64)]
Agent = Annotated[str, Field(pattern=f"^{AGENT.pattern}$")]
Topics = Annotated[list[Annotated[str, Field(max_length=80)]], Field(min_length=1, max_length=32)]


class Message(BaseModel):
    """A field that is not known is refused, never ignored; so is a number that is a text or a boolean."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Hello(Message):
    """The first message, and only that."""

    type: Literal["hello"]
    agent: Agent


class Query(Message):
    """Answered with `accepted`, and then once with `result`, `interrupted` or `error`."""

    type: Literal["query"]
    ref: Ref
    query: Annotated[str, Field(min_length=1, max_length=4096)]
    limit: Annotated[int, Field(ge=1, le=100)] = 10
    timeout_ms: Annotated[int, Field(ge=1, le=60_000)] = 5000


class InterruptQuery(Message):
    """Stop that query of this connection."""

    type: Literal["interrupt"]
    ref: Ref
    reason: Annotated[str, Field(max_length=200)] = ""


class Subscribe(Message):
    """Get these topics too."""

    type: Literal["subscribe"]
    topics: Topics


class Unsubscribe(Message):
    """Do without these."""

    type: Literal["unsubscribe"]
    topics: Topics


class Send(Message):
    """Tell another agent something."""

    type: Literal["send"]
    to: Agent
    message: Annotated[str, Field(max_length=16_384)]


class Ping(Message):
    """Answered with `pong`."""

    type: Literal["ping"]


Said = Hello | Query | InterruptQuery | Subscribe | Unsubscribe | Send | Ping
_said: TypeAdapter[Said] = TypeAdapter(Annotated[Said, Field(discriminator="type")])


class UnreadableError(InvalidError):
    """No message of ours; `ref` is the reference that it had, as far as it could be read."""

    def __init__(self, problem: str, ref: str | None = None) -> None:
        super().__init__(problem)
        self.ref = ref


def read(text: str) -> Said:
    """One message. Raises UnreadableError, which says where it is wrong and does not repeat what it says."""
    try:
        found: Any = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise UnreadableError(f"no JSON: {error}") from error
    if not isinstance(found, dict):
        raise UnreadableError(f'a message is an object like {{"type": "ping"}}, not a {type(found).__name__}')
    try:
        return _said.validate_python(found)
    except ValidationError as error:
        ref = found.get("ref")
        known = ref if isinstance(ref, str) and 1 <= len(ref) <= 64 else None
        raise UnreadableError(_problems(error), known) from error


def _problems(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc'])) or 'message'}: {one['msg']}" for one in found[:5])[:500]
