"""The list of tools is whole and names each tool once, whatever runs.

Wrong: the tools of a running skill twice; a list without the catalog while it is read again.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from locust import task

from loadtests.checked import CheckedUser, must, phrase, round_trip

OWN = frozenset(
    {
        *("memory_search", "memory_get", "memory_stats", "memory_store", "memory_store_many", "memory_forget"),
        *("procedure_list", "procedure_status", "procedure_run", "procedure_send", "procedure_interrupt"),
        *("agent_ping", "interrupt_check", "skills_reload"),
    }
)
"""Of the server itself."""
CATALOG = frozenset({"skill_echo", "skill_delay"})
"""Of the skill that comes along."""
_MOST_PAGES = 20


class Tools(CheckedUser):
    """Lists tools."""

    @task(4)
    @round_trip
    def lists(self) -> None:
        """With a skill that runs."""
        text = phrase()
        said = self.tool("skill_echo", text=text)
        must(said == {"text": text}, f"{text!r} was to be said back, and {said} came")
        self.check_list()

    @task(1)
    @round_trip
    def pings(self) -> None:
        """The other tools that change nothing say what they must."""
        name, reason = "a" + phrase(1), phrase()
        reply = self.tool("agent_ping", agent=name)["reply"]
        must(name in reply, f"agent_ping of {name} says {reply!r}: another's answer")
        seen = self.tool("interrupt_check", reason=reason)
        must(seen == {"seen": True, "reason": reason}, f"an interrupt for {reason!r} is seen as {seen}")

    def check_list(self) -> None:
        """Every tool once, all there, each with a schema."""
        tools = self.listed()
        twice = [name for name, count in Counter(one["name"] for one in tools).items() if count > 1]
        must(not twice, f"tools/list names {', '.join(twice)} more than once")
        missing = (OWN | CATALOG) - {one["name"] for one in tools}
        must(not missing, f"tools/list lacks {', '.join(sorted(missing))}")
        for one in tools:
            schema = one.get("inputSchema")
            must(isinstance(schema, dict) and schema.get("type") == "object", f"{one['name']}: input schema {schema}")
            must(one.get("description"), f"{one['name']} has no description")
            if one["name"] in OWN | CATALOG:
                must(isinstance(one.get("outputSchema"), dict), f"{one['name']} has no output schema")

    def listed(self) -> list[dict[str, Any]]:
        """All pages."""
        tools: list[dict[str, Any]] = []
        page = self.answer("tools/list", None)
        for _ in range(_MOST_PAGES):
            tools += page["tools"]
            if not (cursor := page.get("nextCursor")):
                break
            page = self.answer("tools/list", {"cursor": cursor})
        else:
            must(False, f"tools/list has more than {_MOST_PAGES} pages")
        return tools
