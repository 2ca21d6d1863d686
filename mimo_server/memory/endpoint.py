"""Embeddings of an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx2
import numpy as np

from mimo_server.errors import EmbeddingError, InvalidError
from mimo_server.memory.admission import Admission
from mimo_server.memory.record import Vectors
from mimo_server.memory.vectors import vector_from
from mimo_server.supervision.registry import Bound

_BATCH = 64
"""Texts in one request."""
_BATCH_CHARACTERS = 200_000
"""In one request, as long as it has more than one text: about a millisecond to write as JSON."""
_REQUESTS = 4
"""At once."""
_WAITING = 128
_BYTES_EACH = 32
"""A float in JSON has at most 25 characters; with commas and blanks there is room."""
_BYTES_BESIDE = 64 << 10
"""Of an answer beside its numbers."""
_ON_THE_LOOP = 4096
"""Numbers read there: about two milliseconds. More go to a thread."""
_OK = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where it is, and what to ask for."""

    url: str
    """Up to and with /v1: /embeddings is added."""
    model: str
    dimensions: int
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 10.0
    """For one request from its first byte to the answer's last."""


class EndpointEmbedder:
    """Asks the endpoint and checks its answer. What is wrong with it is an EmbeddingError, and there are no retries.

    At most four requests at once; a fifth waits as long as one may take, then LimitError. Redirects and the proxies
    of the environment are not followed: texts go where they were meant to go. The key stands in no message.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.name = f"endpoint:{endpoint.model}"
        self.dimensions = endpoint.dimensions
        self._endpoint = endpoint
        self._where = f"{endpoint.url.rstrip('/')}/embeddings"
        self._admission = Admission(
            "embedding_requests", limit=_REQUESTS, waiting=_WAITING, patience_s=endpoint.timeout_s
        )
        headers = {"accept-encoding": "identity"}  # nothing is inflated: a small answer cannot become a large one
        if endpoint.key is not None:
            headers["authorization"] = f"Bearer {endpoint.key}"
        self._client = httpx2.AsyncClient(
            headers=headers, timeout=endpoint.timeout_s, follow_redirects=False, trust_env=False
        )

    async def __aenter__(self) -> Self:
        """Nothing is asked yet: an endpoint may come up later."""
        return self

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """In batches, one after the other. Raises EmbeddingError, LimitError."""
        parts = [await self._batch(batch) for batch in _batches(texts)]
        return np.concatenate(parts) if parts else np.empty((0, self.dimensions), dtype=np.float32)

    async def _batch(self, texts: list[str]) -> Vectors:
        await self._admission.enter()
        try:
            async with asyncio.timeout(self._endpoint.timeout_s):
                body = await self._answer(texts)
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise self._wrong(f"it did not answer within {self._endpoint.timeout_s:g} s") from error
        except httpx2.HTTPError as error:
            raise self._wrong(f"it cannot be asked ({type(error).__name__})") from error
        finally:
            self._admission.leave()
        if len(texts) * self.dimensions < _ON_THE_LOOP:
            return self._vectors(body, len(texts))
        return await asyncio.to_thread(self._vectors, body, len(texts))

    async def _answer(self, texts: list[str]) -> bytes:
        most = len(texts) * self.dimensions * _BYTES_EACH + _BYTES_BESIDE
        asked = {"model": self._endpoint.model, "input": texts, "encoding_format": "float"}
        async with self._client.stream("POST", self._where, json=asked) as response:
            if response.status_code != _OK:  # its body is not shown: it may repeat the key or the text
                raise self._wrong(f"it answered with status {response.status_code}")
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > most:
                    raise self._wrong(f"its answer is longer than {most} bytes")
        return bytes(body)

    def _vectors(self, body: bytes, count: int) -> Vectors:
        try:
            items = json.loads(body)["data"]
            rows = {int(item["index"]): item["embedding"] for item in items}
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._wrong("its answer is no list of embeddings in JSON") from error
        if len(items) != count or rows.keys() != set(range(count)):
            raise self._wrong(f"it gave {len(items)} embeddings for {count} texts")
        try:
            return np.stack([self._vector(rows[place]) for place in range(count)])
        except InvalidError as error:
            raise self._wrong(str(error)) from error

    def _vector(self, given: Any) -> Any:
        if not isinstance(given, list):
            raise InvalidError("an embedding is no list of numbers")
        return vector_from(given, self.dimensions)

    def _wrong(self, what: str) -> EmbeddingError:
        return EmbeddingError(
            f"the embedding endpoint {self._where} failed: {what}; look at it and at the settings, then try again"
        )

    def bounds(self) -> tuple[Bound, ...]:
        """Requests at once, and those that wait."""
        return self._admission.bounds()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._client.aclose()


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for text in texts:
        if batch and (len(batch) == _BATCH or sum(map(len, batch)) + len(text) > _BATCH_CHARACTERS):
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch
