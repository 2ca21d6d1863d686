"""What searches look at, a slot a memory: derived from the rows of the database, checked, and mapped from files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mimo_server.memory.columns import Column
from mimo_server.memory.index import Entries, Numbers
from mimo_server.memory.record import Category
from mimo_server.memory.signs import BITS, HEAD, Codes, SignCoder

_FORM = "form.json"
_VERSION = 1
DEAD = 255
"""In place of a category."""
_CATEGORIES: dict[str, int] = {str(category): number for number, category in enumerate(Category)}
_BLOCK = 2048
"""Slots verified or copied at a time: 3 MB of rows at 1536 dimensions."""


class View(NamedTuple):
    """All slots as they were at one moment; later ones are not in it, later deletions are."""

    ids: Numbers
    categories: NDArray[np.uint8]
    importances: NDArray[np.float64]
    marks: NDArray[Any]
    """Of each the change that wrote its row, its check, and one over the length of its int8 row."""
    heads: Codes
    tails: Codes
    rows: NDArray[np.int8]
    dead: int
    """About how many of them are of memories that were forgotten."""


class Slots:
    """Seven files in a folder: ids, categories, importances, marks, heads and tails of codes, and int8 rows.

    Ids ascend from slot to slot. Every slot has a check over all that stands in it. One thread changes; any thread
    takes a view and reads it as long as it likes.
    """

    def __init__(self, folder: Path, dimensions: int, *, is_read_only: bool = False) -> None:
        """Create or map the files. Raises OSError.

        `is_read_only`: leave them as they are; of files that are cut off, as many slots as all of them have.
        """
        self.folder = folder
        self._dimensions = dimensions
        self._coder = SignCoder(dimensions)
        self._check = _Check(dimensions)
        self._columns: dict[str, Column] = {}
        self.count = 0
        if not is_read_only:
            folder.mkdir(mode=0o700, exist_ok=True)
        try:
            for name, dtype, width in _columns_of(dimensions):
                self._columns[name] = Column(folder / name, dtype, width, is_read_only=is_read_only)
        except BaseException:
            self.close()
            raise
        used = np.flatnonzero(self._columns["ids"].array)
        self.count = min(int(used[-1]) + 1 if len(used) else 0, *(len(one.array) for one in self._columns.values()))
        self.dead = 0
        if not is_read_only:
            self.reserve(0)
        self._publish()

    def is_now_whole(self) -> None:
        """From now on the next start takes this folder up."""
        (self.folder / _FORM).write_text(_form(self._dimensions), encoding="ascii")

    def view(self) -> View:
        """What is there now."""
        return self._view

    def _publish(self) -> None:
        count = self.count
        self._view = View(**{name: one.array[:count] for name, one in self._columns.items()}, dead=self.dead)

    def reserve(self, more: int) -> None:
        """Have room for so many more. Raises OSError when the disk has none."""
        for column in self._columns.values():
            column.reserve(self.count + more)

    def append(self, entries: Entries) -> None:
        """Add entries whose ids are above all others. They are found from the moment this returns."""
        self.reserve(len(entries))
        self._write(slice(self.count, self.count + len(entries)), entries)
        self.count += len(entries)
        self._publish()

    def repair(self, places: Numbers, entries: Entries) -> None:
        """Write dead slots again."""
        self._write(places, entries)
        self.dead -= len(places)
        self._publish()

    def _write(self, where: slice | Numbers, entries: Entries) -> None:
        rows = entries.steps.astype(np.float32)
        codes = self._coder.codes(rows)
        marks = np.zeros(len(entries), dtype=_MARKS)
        marks["change"] = entries.changes
        marks["norm"] = 1 / np.linalg.norm(rows, axis=1)
        values: dict[str, NDArray[Any]] = {
            "ids": np.asarray(entries.ids, dtype=np.int64),
            "importances": np.asarray(entries.importances, dtype=np.float64),
            "marks": marks,
            "heads": np.ascontiguousarray(codes[:, : HEAD // 8]),
            "tails": np.ascontiguousarray(codes[:, HEAD // 8 :]),
            "rows": entries.steps,
            "categories": np.array([category_number(one) for one in entries.categories], dtype=np.uint8),
        }
        marks["check"] = self._check.of(values)
        for name, value in values.items():  # the category last: what is dead is not looked at
            self._columns[name].array[where] = value

    def copy(self, other: Slots, first: int, last: int) -> None:
        """Add those of the other's slots `first` to before `last` that are alive, as they stand there."""
        alive = first + np.flatnonzero(other._columns["categories"].array[first:last] != DEAD)
        self.reserve(len(alive))
        where = slice(self.count, self.count + len(alive))
        for name, column in self._columns.items():
            column.array[where] = other._columns[name].array[alive]
        self.count += len(alive)
        self._publish()

    def slots_of(self, ids: Sequence[int] | Numbers) -> Numbers:
        """The slot of each id; -1: there is none."""
        return slots_of(self._view, ids)

    def remove(self, ids: Sequence[int] | Numbers) -> None:
        """Mark as dead; unknown ids are no error."""
        places = self.slots_of(ids)
        places = places[places >= 0]
        categories = self._columns["categories"].array
        self.dead += int(np.count_nonzero(categories[places] != DEAD))
        categories[places] = DEAD
        self._publish()

    def bury(self, places: Numbers) -> None:
        """Mark these as dead, and count all that are."""
        categories = self._columns["categories"].array
        categories[places] = DEAD
        self.dead = int(np.count_nonzero(categories[: self.count] == DEAD))
        self._publish()

    def damaged(self) -> Iterator[Numbers]:
        """Verify block by block: yield the slots that are not as they were written; all that are dead are among them.

        Reads everything once, without making it resident.
        """
        for first in range(0, self.count, _BLOCK):
            last = min(first + _BLOCK, self.count)
            values = {name: one.read(first, last) for name, one in self._columns.items()}
            yield first + np.flatnonzero(self._check.of(values) != values["marks"]["check"])

    def damaged_of(self, view: View, places: Numbers) -> Numbers:
        """Those of these slots of a view of mine that are not as they were written, and not dead."""
        values = {name: one[places] for name, one in view._asdict().items() if name != "dead"}
        wrong = (self._check.of(values) != values["marks"]["check"]) & (values["categories"] != DEAD)
        damaged: Numbers = places[wrong]
        return damaged

    def changes(self) -> Numbers:
        """Of every slot."""
        return np.asarray(self._columns["marks"].array["change"][: self.count], dtype=np.int64)

    def close(self) -> None:
        """Let go of the files."""
        for column in self._columns.values():
            column.close(self.count)
        self._columns = {}


def _columns_of(dimensions: int) -> tuple[tuple[str, Any, int], ...]:
    """Name, type of a value, and values a slot."""
    return (
        ("ids", "<i8", 1),
        ("categories", "u1", 1),
        ("importances", "<f8", 1),
        ("marks", _MARKS, 1),
        ("heads", "u1", HEAD // 8),
        ("tails", "u1", (BITS - HEAD) // 8),
        ("rows", "i1", dimensions),
    )


_MARKS = np.dtype([("change", "<i8"), ("check", "<u8"), ("norm", "<f4"), ("unused", "<u4")])


def slots_of(view: View, ids: Sequence[int] | Numbers) -> Numbers:
    """The slot of each id; -1: there is none."""
    wanted = np.asarray(ids, dtype=np.int64)
    places = np.searchsorted(view.ids, wanted)
    if not len(view.ids):
        return np.full(len(wanted), -1, dtype=np.int64)
    return np.where(view.ids[np.minimum(places, len(view.ids) - 1)] == wanted, places, -1)


def category_number(category: str) -> int:
    """How a category stands in its column."""
    return _CATEGORIES[str(category)]


class _Check:
    """Σ wᵢ·kᵢ mod 2⁶⁴ over the words of a slot, with odd random kᵢ: multilinear hashing (Carter and Wegman 1979).

    One damaged word is always seen; of other damage 1 in 2⁶³ is not, or less.
    """

    def __init__(self, dimensions: int) -> None:
        self._padding = -dimensions % 8
        words = 5 + BITS // 64 + (dimensions + self._padding) // 8
        random = np.asarray(np.random.PCG64([dimensions, words]).random_raw(words), dtype=np.uint64)
        self._keys = random | np.uint64(1)

    def of(self, column: dict[str, NDArray[Any]]) -> NDArray[np.uint64]:
        """One check a slot."""
        rows = np.ascontiguousarray(column["rows"])
        if self._padding:
            rows = np.pad(rows, ((0, 0), (0, self._padding)))
        marks = column["marks"]
        norms = np.ascontiguousarray(marks["norm"]).view(np.uint32).astype(np.uint64)
        words = (
            np.ones(len(rows), np.uint64),
            column["ids"].view(np.uint64),
            np.ascontiguousarray(marks["change"]).view(np.uint64),
            np.ascontiguousarray(column["importances"]).view(np.uint64),
            norms << np.uint64(8) | column["categories"].astype(np.uint64),
            *(np.ascontiguousarray(column[name]).view(np.uint64) for name in ("heads", "tails")),
            rows.view(np.uint64),
        )
        total, used = np.zeros(len(rows), np.uint64), 0
        for word in words:
            matrix = word.reshape(len(rows), -1)
            total += matrix @ self._keys[used : used + matrix.shape[1]]
            used += matrix.shape[1]
        return total


def _form(dimensions: int) -> str:
    return json.dumps({"version": _VERSION, "dimensions": dimensions, "bits": BITS, "head": HEAD})


def is_whole(folder: Path, dimensions: int) -> bool:
    """Whether the folder holds slots of this form, and all that it was meant to hold."""
    with suppress(OSError, ValueError):
        return (folder / _FORM).read_text(encoding="ascii") == _form(dimensions)
    return False


def discard(folder: Path) -> None:
    """Delete the slots."""
    if folder.exists():
        shutil.rmtree(folder)


def generations(folder: Path) -> list[Path]:
    """The folders of slots in a folder, the oldest first."""
    found = [one for one in folder.iterdir() if one.name.isdigit()] if folder.is_dir() else []
    return sorted(found, key=lambda one: int(one.name))


def newest(folder: Path, dimensions: int) -> Path | None:
    """The folder of slots that a start takes up; None: there is none."""
    whole = [one for one in generations(folder) if is_whole(one, dimensions)]
    return whole[-1] if whole else None
