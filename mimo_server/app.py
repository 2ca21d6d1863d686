"""The components of one server, and the order in which they live: this file is the supervision tree."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mimo_server.errors import SettingsError
from mimo_server.memory.memories import Memories, opened
from mimo_server.memory.record import StoreFacts
from mimo_server.memory.store import MemoryStore, SqliteStore
from mimo_server.settings import Settings
from mimo_server.skills.catalog import CATALOG
from mimo_server.skills.pool import SkillPool, Skills
from mimo_server.supervision.refusals import Refusals
from mimo_server.supervision.registry import Bound, Registry
from mimo_server.surface.sessions import Sessions
from mimo_server.surface.subscriptions import Subscriptions
from mimo_server.synapse.connections import Connections
from mimo_server.synapse.interrupts import Interrupts


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the metrics page shows."""

    store: StoreFacts
    connections: int
    skill_processes: int
    refused: int
    bounds: tuple[Bound, ...]


class App:
    """Every component can be replaced until `started`: a store, a skill runner, a policy, a limit.

    calls        bound of tool calls in flight
    store        memories: SQLite and vectors, on one thread of its own
    skills       child processes
    connections  sockets to agents
    interrupts   a registry
    refusals     requests answered with an error

    and what only HTTP fills:
    http_connections  of clients; session_table makes the sessions, each with an entry in `sessions`
    subscriptions     event streams that clients asked for
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.calls: Registry[str] = Registry("calls", limit=128)
        self.store: MemoryStore = SqliteStore(settings.dimensions)
        self.skills: Skills = SkillPool(CATALOG, limit=16)
        self.connections = Connections(limit=64)
        self.interrupts = Interrupts(Registry("interrupts", limit=1024))
        self.refusals = Refusals()
        self.http_connections: Registry[str] = Registry("http_connections", limit=512)
        self.sessions: Registry[str] = Registry("sessions", limit=settings.max_sessions)
        self.session_table: type[Sessions] = Sessions
        self.subscriptions = Subscriptions(limit=256)
        self._memories: Memories | None = None

    @property
    def memories(self) -> Memories:
        """The open store; only while started."""
        if self._memories is None:
            raise RuntimeError("the app is used before it was started")
        return self._memories

    @asynccontextmanager
    async def started(self) -> AsyncIterator[App]:
        """Start in this order, end in the other. Raises SettingsError when the data folder does not fit."""
        with _data_folder(self.settings.data) as folder:
            async with opened(self.store, folder / "memories.sqlite3") as self._memories, self.skills:
                await self.memories.top_up(self.settings.seed_memories)
                yield self

    async def figures(self) -> Figures:
        """How everything stands now."""
        skills, connections = self.skills.bound(), self.connections.bound()
        return Figures(
            store=await self.memories.facts(),
            connections=connections.size,
            skill_processes=skills.size,
            refused=self.refusals.count,
            bounds=(
                self.calls.bound(),
                skills,
                connections,
                self.interrupts.bound(),
                self.subscriptions.bound(),
                self.sessions.bound(),
                self.http_connections.bound(),
            ),
        )


@contextmanager
def _data_folder(chosen: Path | None) -> Iterator[Path]:
    if chosen is None:
        with tempfile.TemporaryDirectory(prefix="mimo-") as folder:
            yield Path(folder)
        return
    try:
        chosen.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"--data {chosen} cannot be made a folder ({error.strerror}); choose one that you may write"
        ) from error
    yield chosen
