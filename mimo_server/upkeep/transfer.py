"""Memories as JSON lines: out of a folder, and into one."""

from __future__ import annotations

import base64
import json
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import IO, Any

from mimo_server.errors import InvalidError, MimoError, SettingsError
from mimo_server.memory.checks import check_draft
from mimo_server.memory.embed import LexicalEmbedder
from mimo_server.memory.record import Add, Category, Draft
from mimo_server.memory.rows import CorruptRowError, Row
from mimo_server.memory.store import MemoryStore
from mimo_server.memory.vectors import vector_from
from mimo_server.upkeep.folder import Folder, Progress

_AT_ONCE = 500
"""Memories in one commit."""
_LONGEST_LINE = 1 << 22
"""Characters: a text of 100,000 in escapes, metadata, and a vector of 4096 numbers."""
_KEYS = frozenset({"id", "content", "category", "importance", "metadata", "created_at", "updated_at", "embedding"})


def exported(folder: Folder, out: IO[str], progress: Progress) -> tuple[int, Sequence[int]]:
    """Write one line a memory; return how many, and the ids of those that are damaged and left out.

    An embedding is base64 of little-endian float32, as the tools take it. Nothing is held but a few rows. Of a database
    with damaged pages all is written that can be read.
    """
    try:
        count = folder.count()
    except sqlite3.DatabaseError:
        count = 0  # nobody knows
    written = 0
    damaged: list[int] = []
    for done, row in enumerate(folder.readable_rows(damaged), start=1):
        try:
            out.write(_line(folder, row))
            written += 1
        except CorruptRowError as error:
            damaged.append(error.id)
        progress("memories", done, count)
    return written, sorted(damaged)


def _line(folder: Folder, row: Row) -> str:
    memory = row.memory()
    told = {
        "id": memory.id,
        "content": memory.content,
        "category": memory.category.value,
        "importance": memory.importance,
        "metadata": memory.metadata,
        "created_at": memory.created_at,
        "embedding": base64.b64encode(folder.vector(row.embedding).astype("<f4").tobytes()).decode("ascii"),
    }
    return json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n"


def imported(
    lines: IO[str], store: MemoryStore, embedder: LexicalEmbedder | None, progress: Progress, *, skip: int = 0
) -> int:
    """Store one memory a line, under new ids, 500 in a commit; return how many.

    A line needs `content`; it may have what `export` writes, and nothing else. Without an embedding it is made from the
    text by `embedder`. Raises SettingsError for the first line that cannot be stored: its number, what is wrong, and
    from which line to go on (`skip`): what came before that is stored.
    """
    done = skip
    numbered = enumerate(islice(lines, skip, None), start=skip + 1)
    while some := list(islice(numbered, _AT_ONCE)):
        try:
            drafts = [_draft(number, line, store.dimensions) for number, line in some if line.strip()]
            if drafts:
                _stored(store, _embedded(drafts, embedder))
        except MimoError as error:
            raise SettingsError(
                f"{error}; lines 1 to {done} are stored: mend the rest, and go on with --skip {done}"
            ) from error
        done = some[-1][0]
        progress("lines", done, 0)
    return done - skip


def _stored(store: MemoryStore, drafts: Sequence[Draft]) -> None:
    (outcome,) = store.commit([Add(drafts=drafts)])
    if isinstance(outcome, Exception):
        raise outcome


def _embedded(drafts: Sequence[Draft], embedder: LexicalEmbedder | None) -> list[Draft]:
    missing = [draft.content for draft in drafts if draft.embedding is None]
    if missing and embedder is None:
        raise InvalidError(
            "a line has no embedding, and the one of this folder is made by an endpoint; start a server on the folder "
            "and store through it, or give lines with embeddings"
        )
    made = iter(embedder.embedded(missing)) if embedder is not None and missing else iter(())
    return [replace(draft, embedding=next(made)) if draft.embedding is None else draft for draft in drafts]


def _draft(number: int, line: str, dimensions: int) -> Draft:
    try:
        return _checked(_parsed(line), dimensions)
    except InvalidError as error:
        raise InvalidError(f"line {number}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"line {number} is no JSON ({str(error)[:80]})") from error


def _parsed(line: str) -> object:
    if len(line) > _LONGEST_LINE:
        raise InvalidError(f"it has {len(line)} characters; a memory has at most {_LONGEST_LINE}")
    parsed: object = json.loads(line)
    return parsed


def _checked(given: object, dimensions: int) -> Draft:
    if not isinstance(given, dict) or not isinstance(given.get("content"), str):
        raise InvalidError('it is no memory; give an object with a "content" that is a text')
    if unknown := sorted(given.keys() - _KEYS):
        raise InvalidError(f"there is no key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    embedding = given.get("embedding")
    created_at = given.get("created_at")
    draft = Draft(
        content=given["content"],
        category=_category(given.get("category", Category.FACT.value)),
        importance=_number("importance", given.get("importance", 0.5)),
        metadata=_metadata(given.get("metadata", {})),
        embedding=None if embedding is None else vector_from(embedding, dimensions),
        created_at=time.time() if created_at is None else _number("created_at", created_at),
    )
    check_draft(draft)
    return draft


def _category(given: object) -> Category:
    try:
        return Category(str(given) if isinstance(given, str) else "")
    except ValueError as error:
        known = ", ".join(Category)
        raise InvalidError(f"there is no category {str(given)[:40]!r}; give one of {known}") from error


def _number(name: str, given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise InvalidError(f"{name} is {str(given)[:40]!r}; give a number")
    return float(given)


def _metadata(given: object) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise InvalidError(f"metadata is {str(given)[:40]!r}; give an object")
    return given
