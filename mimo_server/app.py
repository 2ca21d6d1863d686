"""The components of one server, and the order in which they live: this file is the supervision tree.

    App
    ├── memories     SQLite: one writer, pooled readers; vectors        starts first, ends last
    ├── skills       the catalog; for each skill a pool of processes, and a budget of restarts
    ├── synapse      agents: connections, message router, interrupts, queries
    ├── procedures   executions
    ├── monitor      memory, descriptors, threads, tasks; sweeps registries
    └── health       checks of all of the above, and of the event loop  starts last, ends first

A part that fails is started again or reported by what is above it, and takes none of its siblings down.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mimo_server.errors import InvalidError, SettingsError, SkillError
from mimo_server.memory.assembly import embedder
from mimo_server.memory.memories import Memories
from mimo_server.memory.record import Category, Draft, Order, Search
from mimo_server.memory.retention import Retention
from mimo_server.memory.store import SqliteStore
from mimo_server.procedures.executions import Procedures
from mimo_server.procedures.files import bundled, read
from mimo_server.settings import Settings
from mimo_server.skills.catalog import Catalog
from mimo_server.skills.supervisor import SkillSupervisor
from mimo_server.supervision.events import Events
from mimo_server.supervision.health import Health
from mimo_server.supervision.monitor import THRESHOLDS, Monitor
from mimo_server.supervision.rates import RateLimit
from mimo_server.supervision.refusals import Refusals
from mimo_server.supervision.registry import Bound, Registry
from mimo_server.surface.caller import caller
from mimo_server.surface.sessions import Sessions
from mimo_server.surface.subscriptions import Subscriptions
from mimo_server.synapse.synapse import Synapse

_MOST_TOOLS = 64 * 256 + 64
"""What a catalog may have, and the server's own."""


class App:
    """Every component can be replaced until `started`: a store, a supervisor, a policy, a limit.

    What only the surface fills stands here too, since it is limited and shown like the rest:

    tools             what is offered to clients, by name
    calls, requests   tool calls, and requests of any kind, in flight
    rates             calls a second of each caller; None: any number
    caller            who that is: its session, or its connection
    refusals          requests answered with an error
    http_connections  of clients
    sessions          of the handshake era; session_table makes them
    subscriptions     event streams that clients asked for
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.events = Events()
        self.refusals = Refusals()
        self.tools: Registry[Any] = Registry("tools", limit=_MOST_TOOLS)
        self.calls: Registry[str] = Registry("calls", limit=settings.max_calls)
        self.requests: Registry[str] = Registry("requests", limit=2 * settings.max_calls + settings.max_connections)
        self.rates = _rates(settings)
        self.caller = caller
        self.http_connections: Registry[str] = Registry("http_connections", limit=settings.max_connections)
        self.sessions: Registry[str] = Registry("sessions", limit=settings.max_sessions)
        self.session_table: type[Sessions] = Sessions
        self.subscriptions = Subscriptions(limit=256)

        self.store = SqliteStore(settings.dimensions)
        self.embedder = embedder(settings)
        self.memory_class: type[Memories] = Memories
        self._memories: Memories | None = None
        self.skills = SkillSupervisor(Catalog(settings.skills), self.events, limit=settings.max_skills)
        self.synapse = Synapse(self.events, search=self._found_by_agents, max_connections=settings.max_agents)
        procedures = read(settings.procedures) if settings.procedures else bundled()
        self.procedures = Procedures(procedures, _Steps(self), self.events, limit=settings.max_executions)
        self.health = Health(self.events)
        self.monitor = Monitor(self.events, thresholds=_thresholds(settings))

    @property
    def memories(self) -> Memories:
        """The open store; only while started."""
        if self._memories is None:
            raise RuntimeError("the app is used before it was started")
        return self._memories

    @asynccontextmanager
    async def started(self) -> AsyncIterator[App]:
        """Start in this order, end in the other. Raises SettingsError when the data folder does not fit."""
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(_data_folder(self.settings.data))
            self._memories = self.memory_class(
                self.store,
                self.embedder,
                folder=folder,
                readers=self.settings.readers,
                write_queue=self.settings.write_queue,
                events=self.events,
            )
            self._memories.retention = _retention(self.settings)
            self._watched()
            await stack.enter_async_context(self._memories)
            await self._memories.top_up(self.settings.seed_memories)
            for part in (self.skills, self.synapse, self.procedures, self.monitor, self.health):
                await stack.enter_async_context(part)
            yield self

    def _watched(self) -> None:
        """Tell health and monitor what there is to look at."""
        self.health.checks = {
            "store": self.memories.check,
            "skills": self.skills.check,
            "agents": self.synapse.check,
            "procedures": self.procedures.check,
            "process": self.monitor.check,
        }
        self.monitor.lag = self.health.lag.seconds
        tables: tuple[Registry[Any], ...] = (self.tools, self.skills.processes, self.synapse.connections.table)
        self.monitor.sweeps = {table.name: table.sweep for table in tables}

    def bounds(self) -> Sequence[Bound]:
        """Every limit of the server."""
        tables = (self.tools, self.calls, self.requests, self.http_connections, self.sessions)
        parts = (self.memories, self.skills, self.synapse, self.procedures, *((self.rates,) if self.rates else ()))
        return (
            *(table.bound() for table in tables),
            self.subscriptions.bound(),
            *(bound for part in parts for bound in part.bounds()),
        )

    async def _found_by_agents(self, query: str, limit: int) -> list[dict[str, Any]]:
        page = await self.memories.search(Search(text=query, limit=limit))
        return [{"id": hit.memory.id, "content": hit.memory.content, "similarity": hit.similarity} for hit in page.hits]


def _retention(settings: Settings) -> Retention:
    return Retention(ttl_s=settings.ttl, most=settings.max_memories or None, order=Order(settings.forget_first))


@dataclass(frozen=True, slots=True)
class _Steps:
    """What the steps of a procedure may do here."""

    app: App

    async def store(self, content: str, category: str, importance: float) -> int:
        if category not in set(Category):
            raise InvalidError(f"category {category!r:.60} is none of {', '.join(Category)}; give one of them")
        draft = Draft(content=content, category=Category(category), importance=importance)
        return (await self.app.memories.store([draft]))[0]

    async def search(self, query: str, limit: int, min_similarity: float) -> list[tuple[int, float]]:
        page = await self.app.memories.search(Search(text=query, limit=limit, min_similarity=min_similarity))
        return [(hit.memory.id, hit.similarity) for hit in page.hits]

    async def forget(self, number: int | str) -> int:
        if not str(number).isdecimal():
            raise InvalidError(f"id {number!r:.60} is no memory's id; memory_store puts one into the context")
        return await self.app.memories.forget(id=int(number))

    async def call_skill(self, skill: str, tool: str, arguments: Mapping[str, Any]) -> Any:
        answer = await self.app.skills.call(f"{skill}_{tool}", dict(arguments))
        if answer.get("isError"):
            raise SkillError(f"skill {skill!r} answered {tool} with an error: {str(answer.get('content'))[:200]}")
        return answer.get("structuredContent", answer.get("content"))


def _rates(settings: Settings) -> RateLimit | None:
    if not settings.rate:
        return None
    burst = max(1, round(settings.rate))
    return RateLimit("call_rate", per_second=settings.rate, burst=burst, keys=2 * settings.max_sessions)


def _thresholds(settings: Settings) -> Mapping[str, float]:
    told = {"fd_share": settings.alert_files_percent / 100, "loop_lag_seconds": settings.alert_lag_ms / 1000}
    told["anonymous_bytes"] = settings.alert_memory_mib * 2**20 or math.inf
    return MappingProxyType({**THRESHOLDS, **told})


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
