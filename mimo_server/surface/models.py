"""Arguments and results of the tools, with their bounds; unknown arguments are refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from mimo_server.memory.record import Category

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Kind = Annotated[Category, BeforeValidator(lambda value: Category(value) if isinstance(value, str) else value)]
"""JSON knows no enums: the text is the category."""


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(_Arguments):
    """No arguments."""


class Search(_Arguments):
    """What to look for."""

    query: str = Field(min_length=1, max_length=4096, description="Words to look for")
    limit: int = Field(default=10, ge=1, le=100, description="At most this many memories")
    min_similarity: Fraction = Field(default=0.0, description="Leave out what is less alike than this")


class Memory(_Result):
    """One memory found."""

    id: int
    content: str
    category: Category
    importance: float
    similarity: float


class Found(_Result):
    """The memories found, most alike first."""

    memories: list[Memory]


class Stats(_Result):
    """How much is remembered."""

    memories: int = Field(ge=0)
    live_bytes: int = Field(ge=0)


class Store(_Arguments):
    """What to remember."""

    content: str = Field(min_length=1, max_length=32_768, description="The text")
    category: Kind = Field(default=Category.FACT, description="What kind of thing it is")
    importance: Fraction = Field(default=0.5, description="0 is of no importance, 1 of the highest")


class Stored(_Result):
    """The new memory's id."""

    id: int = Field(ge=1)


class Forget(_Arguments):
    """Which memories to delete."""

    id: int | None = Field(default=None, ge=1, le=2**63 - 1, description="The memory of this id")
    category: Kind | None = Field(default=None, description="All memories of this category")
    all: bool = Field(default=False, description="All memories")


class Forgotten(_Result):
    """How many were deleted."""

    forgotten: int = Field(ge=0)


class Echo(_Arguments):
    """What to say."""

    text: str = Field(min_length=1, max_length=4096, description="The text to be said back")


class Echoed(_Result):
    """What the skill said."""

    text: str


class Ping(_Arguments):
    """Whom to ask."""

    agent: str = Field(default="a", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Name of the agent")


class Pong(_Result):
    """What the agent answered."""

    reply: str


class Interruption(_Arguments):
    """Why to interrupt."""

    reason: str = Field(default="user", min_length=1, max_length=256, description="Reason of the interrupt")


class Interrupted(_Result):
    """Whether the check saw the interrupt."""

    seen: bool
    reason: str
