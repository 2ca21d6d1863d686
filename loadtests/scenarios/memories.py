"""What is stored is found, by exactly the filters that were asked for, and gone when it was forgotten.

Wrong: an empty list where something is stored (pool_silent), filters or pages that are not kept to, memories of others.

Does not see: how good the ranking of texts is that have words in common only by chance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

from locust import task

from loadtests.checked import CheckedUser, must, phrase, round_trip

CATEGORIES = ("fact", "action", "observation", "plan", "episode", "procedure")
NEAR = 0.4
"""Similarity that all share who have three rare words in common, and nobody else reaches."""
SAME = 0.999
"""Similarity of a text with itself: the rest is for the rounding of a compressed vector."""
BURST = 8
"""Searches of one user at once: twice as many as the server has readers."""


class Memories(CheckedUser):
    """Stores texts that nobody else has."""

    @task(4)
    @round_trip
    def keeps(self) -> None:
        """Store, find, read, forget; then it is neither found nor read."""
        draft = {
            "content": f"{phrase()} – Zürich 🦉 '; DROP TABLE",
            "category": "plan",
            "importance": 0.25,
            "metadata": {"of": phrase(1), "list": [1, None, True], "inner": {"ü": 0.5}},
        }
        with self.remembered(draft) as (number,):
            first = self.found(draft["content"])[0]
            same(first, draft, number)
            must(first["similarity"] >= SAME, f"a text is like itself by {first['similarity']}")
            part = self.found(" ".join(str(draft["content"]).split()[:2]))[0]
            must(part["id"] == number, f"two of three rare words find {part} first, not {number}")
            same(self.tool("memory_get", id=number), draft, number)
        words = self.refused("memory_get", id=number)
        must(str(number) in words, f"the error for a forgotten memory does not name it: {words}")
        rare = " ".join(str(draft["content"]).split()[:3])  # the rest is in others' memories too
        left = self.tool("memory_search", query=rare, min_similarity=NEAR)["memories"]
        must(left == [], f"a forgotten memory is found: {left}")

    @task(2)
    @round_trip
    def filters(self) -> None:
        """Every filter leaves exactly what it says."""
        mark, drafts = some_alike()
        with self.remembered(*drafts) as ids:
            stored = dict(zip(ids, drafts, strict=True))
            whole = self.found(mark, limit=100, min_similarity=NEAR)
            must({one["id"] for one in whole} == set(ids), f"{len(whole)} of {len(ids)} are found, or others")
            for one in whole:
                same(one, stored[one["id"]], one["id"])
            category, least = drafts[0]["category"], cut([one["similarity"] for one in whole])
            rules: tuple[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]], ...] = (
                ({"category": category}, lambda one: one["category"] == category),
                ({"min_importance": 0.5}, lambda one: one["importance"] >= 0.5),
                (
                    {"category": "plan", "min_importance": 0.5},
                    lambda one: one["category"] == "plan" and one["importance"] >= 0.5,
                ),
                ({"min_similarity": least}, lambda one: one["similarity"] >= least),
            )
            for given, keeps in rules:
                got = numbers(self.found(mark, **{"limit": 100, "min_similarity": NEAR, **given}))
                wanted = numbers([one for one in whole if keeps(one)])
                must(got == wanted, f"{given} gives {got}, not {wanted}")
            top = numbers(self.found(mark, limit=5))
            must(top == numbers(whole)[:5], f"limit 5 gives {top}, not {numbers(whole)[:5]}")

    @task(2)
    @round_trip
    def pages(self) -> None:
        """Pages together are the whole: in order, each once; a cursor is good for its own search only."""
        mark, drafts = some_alike()
        with self.remembered(*drafts):
            whole = self.found(mark, limit=100, min_similarity=NEAR)
            for limit in (5, 4, 12):
                given, pages = {"query": mark, "limit": limit, "min_similarity": NEAR}, []
                page = self.tool("memory_search", **given)
                pages.append(page["memories"])
                while cursor := page.get("next_cursor"):
                    must(len(pages) <= len(whole), f"{len(whole)} memories have more than {len(pages)} pages")
                    page = self.tool("memory_search", **given, cursor=cursor)
                    pages.append(page["memories"])
                    if len(pages) == 2:
                        self.refused("memory_search", query=phrase(), cursor=cursor)
                sizes = [len(one) for one in pages]
                got = numbers([one for page in pages for one in page])
                must(got == numbers(whole), f"pages of {limit} have the memories {got}, not {numbers(whole)}")
                must(all(size == limit for size in sizes[:-1]), f"pages of {limit} have {sizes} memories")

    @task(2)
    @round_trip
    def bursts(self) -> None:
        """Many searches at once: each finds its own, or is refused with an error; none is silently empty."""
        contents = [phrase() for _ in range(BURST)]
        with self.remembered(*({"content": one} for one in contents)) as ids:
            answers = self.together([partial(self.found, one) for one in contents])
            firsts = [found[0]["id"] for found in answers]
            must(firsts == ids, f"{BURST} searches at once find {firsts} first, not {ids}")

    def found(self, query: Any, **given: Any) -> list[dict[str, Any]]:
        """Search for what is known to be stored: at least one, most alike first, no id twice."""
        memories: list[dict[str, Any]] = self.tool("memory_search", query=query, **given)["memories"]
        must(memories, f"a search for what is stored came back empty, without an error: {given}")
        alike = [one["similarity"] for one in memories]
        must(alike == sorted(alike, reverse=True), f"the most alike do not come first: {alike}")
        must(len({one["id"] for one in memories}) == len(memories), f"one id twice: {numbers(memories)}")
        must(len(memories) <= given.get("limit", 10), f"{len(memories)} memories where {given} was asked")
        return memories


def some_alike() -> tuple[str, list[dict[str, Any]]]:
    """A text, and twelve memories that contain it, each with further words of its own."""
    mark = phrase()
    drafts = [
        {
            "content": f"{mark} {phrase(1 + number % 5)}",
            "category": CATEGORIES[number % 6],
            "importance": (number % 4) / 4,
            "metadata": {"number": number},
        }
        for number in range(12)
    ]
    return mark, drafts


def same(memory: dict[str, Any], draft: dict[str, Any], number: int) -> None:
    """Raise WrongError unless a memory is what was stored."""
    got = {key: memory.get(key) for key in ("id", *draft)}
    must(got == {"id": number, **draft}, f"memory {number} comes back as {got}, and was stored as {draft}")


def cut(alike: list[float]) -> float:
    """A similarity in the middle of the widest gap: no rounding decides on which side one is."""
    _, low, high = max((high - low, low, high) for high, low in pairwise(alike))
    return (low + high) / 2


def numbers(memories: list[dict[str, Any]]) -> list[int]:
    """Ids, in order."""
    return [one["id"] for one in memories]
