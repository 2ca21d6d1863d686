"""Similarity means something: who shares words is alike, who shares none is not, and it is the same each time.

Wrong: noise in place of an embedding, which finds a text by itself and by nothing else.

Does not see: synonyms. The lexical embedder does not know any.
"""

from __future__ import annotations

from locust import task

from loadtests.checked import CheckedUser, must, phrase, round_trip

SHARED = 0.4
"""At least so alike are texts that share four of six words; two of noise in 384 dimensions never are."""
STRANGE = 0.3
"""At most so alike are texts that share none."""
EQUAL = 1e-6


class Embeddings(CheckedUser):
    """Compares texts through searches."""

    @task
    @round_trip
    def compares(self) -> None:
        """A query shares four words of six with one text, one word with a second, none with a third."""
        words = [phrase(1) for _ in range(6)]
        contents = (" ".join(words), f"{words[0]} {phrase(5)}", phrase(6))
        with self.remembered(*({"content": one} for one in contents)) as (near, far, strange):
            alike = self.alike(" ".join([*words[:4], *phrase(2).split()]))
            must(alike.get(near, 0.0) >= SHARED, f"four shared words of six make texts alike by {alike.get(near)} only")
            must(alike.get(far, 0.0) < alike[near], f"one shared word counts more than four: {alike}")
            must(alike.get(strange, 0.0) <= STRANGE, f"texts without a shared word are alike by {alike.get(strange)}")

    @task
    @round_trip
    def repeats(self) -> None:
        """A text is like itself, wholly; and like a query by the same number each time."""
        content = phrase(6)
        with self.remembered({"content": content}) as (number,):
            own = self.alike(content).get(number, 0.0)
            must(abs(own - 1.0) < 1e-3, f"a text is like itself by {own}")
            query = " ".join(content.split()[:3])
            first, second = self.alike(query).get(number), self.alike(query).get(number)
            must(first is not None and second is not None, "three words of six do not find the text")
            must(abs((first or 0.0) - (second or 0.0)) < EQUAL, f"one query is like a text by {first}, then {second}")

    def alike(self, query: str) -> dict[int, float]:
        """Similarities to a query by id."""
        return {one["id"]: one["similarity"] for one in self.tool("memory_search", query=query, limit=100)["memories"]}
