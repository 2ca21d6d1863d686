"""Verify a data folder: the database, each row, the seal, and each slot of the index."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mimo_server.memory import mapped, seal, slots
from mimo_server.memory.rows import CorruptRowError, Row
from mimo_server.memory.slots import Slots
from mimo_server.upkeep.folder import Folder, Progress

_MOST_TOLD = 20
"""Ids in a report; the others are counted."""


@dataclass(slots=True, kw_only=True)
class Report:
    """What was found. All lists are of ids."""

    memories: int = 0
    database: list[str] = field(default_factory=list)
    """What SQLite itself finds wrong."""
    damaged_rows: list[int] = field(default_factory=list)
    lost_changes: int = 0
    """Acknowledged, and not in the database any more."""
    seal: str = "whole"
    """`whole`, `damaged`, `missing`."""
    index: str = "whole"
    """`whole`, `missing`, or why none of it can be used."""
    damaged_slots: list[int] = field(default_factory=list)
    """Not as they were written, or not what the row says."""
    lacking_slots: int = 0
    """Memories that the index does not have."""

    @property
    def lost(self) -> bool:
        """Whether something cannot be had again."""
        return bool(self.database or self.damaged_rows or self.lost_changes)

    @property
    def repairable(self) -> bool:
        """Whether something is wrong that the next start of a server repairs by itself."""
        index = self.index not in {"whole", "missing"} or bool(self.damaged_slots or self.lacking_slots)
        return index or self.seal == "damaged"

    def told(self) -> dict[str, object]:
        """As JSON: ids up to twenty, with their number."""
        return {
            "memories": self.memories,
            "verdict": "damaged" if self.lost else "repairable" if self.repairable else "sound",
            "database": self.database,
            "damaged_rows": {"count": len(self.damaged_rows), "ids": self.damaged_rows[:_MOST_TOLD]},
            "lost_changes": self.lost_changes,
            "seal": self.seal,
            "index": self.index,
            "damaged_slots": {"count": len(self.damaged_slots), "ids": self.damaged_slots[:_MOST_TOLD]},
            "lacking_slots": self.lacking_slots,
        }


def checked(folder: Folder, progress: Progress) -> Report:
    """Verify everything and change nothing.

    Does not see: a change that database and seal lost alike; a row that was replaced together with its checksum.
    """
    report = Report(memories=folder.count())
    try:
        found = [str(row[0]) for row in folder.db.execute("PRAGMA quick_check(20)")]
        report.database = [line for line in found if line != "ok"]
        _check_seal(folder, report)
        index = _index(folder.path, folder.form.dimensions, report)
        try:
            _check_rows(folder, index, report, progress)
        finally:
            if index is not None:
                index.close()
    except sqlite3.DatabaseError as error:
        report.database.append(str(error))
    return report


def _check_seal(folder: Folder, report: Report) -> None:
    if not (folder.path / seal.FILE).exists():
        report.seal = "missing"
        return
    sealed = seal.read(folder.path)
    if sealed is None:
        report.seal = "damaged"
        return
    (change,) = folder.db.execute("SELECT change FROM state").fetchone()
    report.lost_changes = max(0, sealed.change - change)


def _index(path: Path, dimensions: int, report: Report) -> Slots | None:
    newest = slots.newest(path / mapped.FOLDER, dimensions)
    if newest is None:
        report.index = "missing"
        return None
    try:
        index = Slots(newest, dimensions, is_read_only=True)
    except OSError as error:
        report.index = f"it cannot be read ({error})"
        return None
    ids = index.view().ids
    if np.any(np.diff(ids) <= 0) or (len(ids) and ids[0] < 1):
        report.index = "its ids are damaged"
        index.close()
        return None
    return index


def _check_rows(folder: Folder, index: Slots | None, report: Report, progress: Progress) -> None:
    damaged = np.zeros(0 if index is None else index.count, dtype=bool)
    if index is not None:
        for some in index.damaged():
            damaged[some] = True
    for done, row in enumerate(folder.rows(), start=1):
        try:
            row.verify()
        except CorruptRowError:
            report.damaged_rows.append(row.id)
        else:
            if index is not None:
                place = int(index.slots_of([row.id])[0])
                if place < 0:
                    report.lacking_slots += 1
                elif damaged[place] or not _agrees(folder, index, place, row):
                    report.damaged_slots.append(row.id)
        progress("rows", done, report.memories)


def _agrees(folder: Folder, index: Slots, place: int, row: Row) -> bool:
    """Whether a slot that is as it was written is also what the row says."""
    view = index.view()
    (steps,) = folder.codec.steps([row.embedding])
    return (
        bool(np.array_equal(view.rows[place], steps))
        and view.categories[place] == slots.category_number(row.category)
        and float(view.importances[place]) == row.importance
    )
