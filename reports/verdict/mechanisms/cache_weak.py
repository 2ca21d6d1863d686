"""Documents are found through a WeakValueDictionary; a document and its pages wait for the collector."""

from __future__ import annotations

import random
import weakref
from collections import deque
from typing import Any

import hosts

LEAKS = False
HOST = "asyncio"
RESOURCE = "heap"
KIND = "sawtooth"
REQUESTS = ("GET /document?n={n}", "GET /page?n={n}")
OPERATION = None


class Page:
    """A page knows its document."""

    def __init__(self, document: Document, number: int) -> None:
        self.document = document
        self.text = f"page {number} of {document.number}"


class Document:
    """A document knows its pages."""

    def __init__(self, number: int, pages: int) -> None:
        self.number = number
        self.pages = [Page(self, page) for page in range(pages)]


def draw(random: random.Random) -> dict[str, Any]:
    """Return parameters: documents of 1 to 60 pages; the last 1 to 200 of them are held."""
    return {
        **hosts.ordinary(random),
        "pages": round(hosts.log_uniform(random, 1, 60)),
        "bound": round(hosts.log_uniform(random, 1, 200)),
    }


def rate(_parameters: dict[str, Any]) -> None:
    """Return nothing: no operation leaves anything."""


class Program(hosts.Program):
    """Opens documents."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(parameters)
        self.documents: weakref.WeakValueDictionary[int, Document] = weakref.WeakValueDictionary()
        self.recent: deque[Document] = deque(maxlen=parameters["bound"])

    async def answer(self, request: hosts.Request) -> str | None:
        """Open a document, or the one that is still open."""
        if request.path != "/document":
            return None
        number = self.random.randrange(100_000)
        document = self.documents.get(number)
        if document is None:
            document = self.documents[number] = Document(number, self.parameters["pages"])
        self.recent.append(document)
        return document.pages[-1].text

    def held(self) -> int:
        """Return how many documents are held."""
        return len(self.documents)
