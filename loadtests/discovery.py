"""Finds out what a server speaks: which eras, with or without sessions, and its tools.

Does not see: resources, prompts and templates, which no operation uses yet.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from loadtests.mcp_user import McpUser
from loadtests.mcp_wire import HANDSHAKE, MODERN, MissingError, Session, WrongError, declared_headers, shown
from loadtests.operations import offers_stream

_PAGES = 100
"""A server whose list of tools goes on for longer is stopped there, with a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """What a server speaks in one protocol version."""

    version: str
    server: str
    """Its name and version, as it says."""
    session: bool
    """Whether it keeps sessions."""
    stream: bool
    """Whether it opens a stream on which it could send by itself."""
    tools: list[dict[str, Any]]
    """As it lists them, all pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """All that was found out."""

    eras: list[Era]
    failures: dict[str, str]
    """By version that is not spoken: how the server refused it."""
    warnings: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return it as the answer to the driver."""
        return asdict(self)

    def prepare(self, user_class: type[McpUser]) -> None:
        """Let users of this class know which eras have sessions, and which arguments go into headers."""
        user_class.stateful = {era.version: era.session for era in self.eras}
        user_class.declared = {
            str(tool.get("name")): headers
            for era in self.eras
            if era.version == MODERN
            for tool in era.tools
            if (headers := dict(declared_headers(tool.get("inputSchema"))))
        }


def discover(user: McpUser) -> Discovery:
    """Try both eras. Raises MissingError where nobody answers, and WrongError if neither is spoken."""
    found = Discovery(eras=[], failures={}, warnings=[])
    for offered, find in ((HANDSHAKE[-1], _handshake), (MODERN, _modern)):
        try:
            found.eras.append(find(user, found.warnings))
        except MissingError as error:
            if not found.eras:
                raise
            found.failures[offered] = str(error)
        except WrongError as error:
            found.failures[offered] = str(error)
    if not found.eras:
        raise WrongError("; ".join(f"{version}: {words}" for version, words in found.failures.items()))
    return found


def _handshake(user: McpUser, warnings: list[str]) -> Era:
    session, said = user.open_session()
    try:
        return Era(
            version=session.version,
            server=_name(said.get("serverInfo")),
            session=session.id is not None,
            stream=session.id is not None and offers_stream(user, session),
            tools=_tools(user, session, said, warnings),
        )
    finally:
        user.close_session(session)


def _modern(user: McpUser, warnings: list[str]) -> Era:
    session = Session(version=MODERN)
    said = user.ask(session, "server/discover")
    if MODERN not in (said.get("supportedVersions") or ()):
        raise WrongError(f"server/discover names the versions {shown(str(said.get('supportedVersions')))}")
    meta = said.get("_meta")
    return Era(
        version=MODERN,
        server=_name(meta.get("io.modelcontextprotocol/serverInfo") if isinstance(meta, dict) else None),
        session=False,
        stream=offers_stream(user, session),
        tools=_tools(user, session, said, warnings),
    )


def _tools(user: McpUser, session: Session, said: dict[str, Any], warnings: list[str]) -> list[dict[str, Any]]:
    capabilities = said.get("capabilities")
    if isinstance(capabilities, dict) and "tools" not in capabilities:
        return []
    tools: list[dict[str, Any]] = []
    cursor = None
    for _ in range(_PAGES):
        page = user.ask(session, "tools/list", {"cursor": cursor} if cursor else None)
        listed = page.get("tools")
        if not isinstance(listed, list):
            raise WrongError(f"tools/list has no list of tools: {shown(str(listed))}")
        tools += [tool for tool in listed if isinstance(tool, dict)]
        cursor = page.get("nextCursor")
        if not isinstance(cursor, str) or not cursor:
            return tools
    warnings.append(f"{session.version}: tools/list was not at its end after {_PAGES} pages; the first are used")
    return tools


def _name(info: Any) -> str:
    if not isinstance(info, dict):
        return "unnamed"
    return shown(f"{info.get('name', 'unnamed')} {info.get('version', '')}".strip(), 100)
