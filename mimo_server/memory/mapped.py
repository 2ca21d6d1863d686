"""The index in files: nothing to load, nothing to train, nothing that stops the world."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mimo_server.errors import StoreError
from mimo_server.memory import slots as files
from mimo_server.memory.failpoints import reached
from mimo_server.memory.funnel import Funnel
from mimo_server.memory.index import Entries, Fitting, Found, Numbers, Rank, Truth
from mimo_server.memory.record import Vector
from mimo_server.memory.slots import DEAD, Slots

FOLDER = "index"
_FILLED_AT_ONCE = 256
"""Rows read, encoded and written while a commit waits: a few milliseconds."""
_COPIED_AT_ONCE = 2048
_FEWEST_DEAD = 4096
_MOST_DEAD = 0.25
"""Share of slots of forgotten memories above which the others move to a folder without them."""
_RETRY_S = 1.0
"""After a full disk."""


class DamagedSlotError(StoreError):
    """What a search found is not what was written."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"{count} of the memories found are damaged in the index, which is being repaired from their rows; "
            "try again in a moment, and look at the disk"
        )
        self.count = count


class MappedIndex:
    """Slots in `index/N`, searched through the funnel.

    What the truth has and the slots have not is filled in by a thread; until then it is `pending`. That thread also
    moves what is alive to `index/N+1` when much is not. Who searches sees either folder whole.
    """

    def __init__(self, dimensions: int) -> None:
        self._dimensions = dimensions
        self._funnel = Funnel(dimensions)
        self._folder = Path()
        self._truth: Truth | None = None
        self._slots: Slots | None = None
        self._next: Slots | None = None
        self._lock = threading.Lock()
        """Of whoever changes slots: the thread that commits, and the one that fills in."""
        self._pending = array("q")
        self._filled = 0
        """How many of these are not pending any more."""
        self.trouble: str | None = None
        self._work = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """How many the thread has still to fill in, or to mend."""
        return max(0, len(self._pending) - self._filled)

    def open(self, folder: Path, truth: Truth) -> Found:
        """Verify every slot against its check and against the truth. Raises StoreError when the disk is full."""
        self._folder, self._truth = folder / FOLDER, truth
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            found = self._taken_up(truth)
        except OSError as error:
            raise StoreError(f"{self._folder} cannot be used ({error}); make room, or look at the disk") from error
        self._thread = threading.Thread(target=self._run, name="mimo-index")
        self._thread.start()
        self._work.set()
        return found

    def _taken_up(self, truth: Truth) -> Found:
        whole = files.newest(self._folder, self._dimensions)
        for one in files.generations(self._folder):
            if one != whole:
                files.discard(one)
        ids, changes = truth.numbers()
        if whole is None:
            return self._begun_anew(1, ids, "there was none" if len(ids) else None)
        slots = Slots(whole, self._dimensions)
        found = self._reconciled(slots, ids, changes, truth)
        if isinstance(found, Found):
            self._slots = slots
            return found
        slots.close()
        files.discard(slots.folder)
        return self._begun_anew(int(whole.name) + 1, ids, found)

    def _begun_anew(self, generation: int, ids: Numbers, why: str | None) -> Found:
        self._slots = Slots(self._folder / str(generation), self._dimensions)
        self._slots.is_now_whole()
        self._wait_for(ids)
        return Found(lacking=len(ids), rebuilt=why)

    def _wait_for(self, ids: Numbers) -> None:
        self._pending.frombytes(np.ascontiguousarray(ids, dtype=np.int64).tobytes())

    def _reconciled(self, slots: Slots, ids: Numbers, changes: Numbers, truth: Truth) -> Found | str:
        """Make slots agree with the truth as far as that can be done in place; a text: why it cannot."""
        known = slots.view().ids
        if np.any(np.diff(known) <= 0) or (len(known) and known[0] < 1):
            return "its ids were damaged"
        places = slots.slots_of(ids)
        there = places >= 0
        lacking = ids[~there]
        if len(lacking) and len(known) and lacking[0] < known[-1]:
            return "ids were missing in the middle"
        damaged = np.zeros(slots.count, dtype=bool)
        for some in slots.damaged():
            damaged[some] = True
        damaged[places[there]] |= slots.changes()[places[there]] != changes[there]
        alive = np.zeros(slots.count, dtype=bool)
        alive[places[there]] = True
        gone = ~alive & (slots.view().categories != DEAD)
        # An index of the database can be damaged too, and then a row that is there is not among the numbers.
        still = np.isin(known, truth.there(known[gone & ~damaged].tolist()))
        alive, gone = alive | still, gone & ~still
        wrong = alive & damaged
        slots.bury(np.flatnonzero(~alive | wrong))
        self._wait_for(np.concatenate([known[wrong], lacking]))
        return Found(
            kept=int(np.count_nonzero(alive & ~wrong)),
            damaged=int(np.count_nonzero(wrong)),
            lacking=len(lacking),
            gone=int(np.count_nonzero(gone)),
        )

    # -- changing: the thread that commits --------------------------------------------------------------------------

    def reserve(self, more: int) -> None:
        """Have room on the disk for so many. Raises StoreError."""
        with self._lock:
            try:
                self._opened.reserve(more)
            except OSError as error:
                raise StoreError(
                    f"the index cannot grow, and nothing was changed ({error}): free space on the disk of the data "
                    "folder, then try again"
                ) from error

    def add(self, entries: Entries) -> None:
        """Found from the moment this returns, or pending."""
        with self._lock:
            if self._filled < len(self._pending):
                self._pending.extend(entries.ids)  # ids ascend from slot to slot: what is filled in comes first
            else:
                self._opened.append(entries)

    def remove(self, ids: Sequence[int]) -> None:
        """Not found from the moment this returns."""
        with self._lock:
            for slots in (self._opened, self._next):
                if slots is not None:
                    slots.remove(ids)
        if self._is_worth_moving():
            self._work.set()

    @property
    def _opened(self) -> Slots:
        if self._slots is None:
            raise RuntimeError("the index is used before open() or after close()")
        return self._slots

    # -- searching: any thread ---------------------------------------------------------------------------------------

    def nearest(
        self, vector: Vector, limit: int, *, after: Rank | None = None, seen: int = 0, fitting: Fitting | None = None
    ) -> list[Rank]:
        """Through the funnel; `Funnel.nearest` says what does not come through.

        Raises DamagedSlotError when one of those found is not as it was written; it is repaired at once.
        """
        slots = self._opened
        view = slots.view()
        ranks = self._funnel.nearest(view, vector, limit, after=after, seen=seen, fitting=fitting)
        places = files.slots_of(view, [rank.id for rank in ranks])
        if ranks and len(damaged := slots.damaged_of(view, places)):
            self._mend(slots, view.ids[damaged])
            raise DamagedSlotError(len(damaged))
        return ranks

    def _mend(self, slots: Slots, ids: Numbers) -> None:
        with self._lock:
            if slots is self._slots:  # else they stayed behind with the folder
                self._pending.extend(ids.tolist())
                slots.remove(ids)
        self._work.set()

    def pending(self) -> Numbers:
        """What the thread has still to fill in."""
        with self._lock:
            return np.array(self._pending[self._filled :], dtype=np.int64)

    # -- filling in and moving: a thread of its own ------------------------------------------------------------------

    def _run(self) -> None:
        pause = None
        while not self._ending:
            self._work.wait(pause)
            self._work.clear()
            pause = None
            try:
                while not self._ending and (self._fill() or self._move()):
                    pass
                self.trouble = None
            except Exception as error:  # noqa: BLE001 -- told by health; the truth has what is pending
                self.trouble = (
                    f"the index cannot be brought up to date ({error!r}); look at the disk of the data folder"
                )
                pause = _RETRY_S

    def _fill(self) -> bool:
        """Fill some in; whether there was any."""
        with self._lock:
            if self._filled == len(self._pending) or self._truth is None:
                self._pending, self._filled = array("q"), 0
                return False
            ids = self._pending[self._filled : self._filled + _FILLED_AT_ONCE].tolist()
            self._put(self._truth.entries(ids))
            self._filled += len(ids)
            reached("filled")
            return True

    def _put(self, entries: Entries) -> None:
        """Repair the slots that are there, and append the others, whose ids are above."""
        slots = self._opened
        places = slots.slots_of(entries.ids)
        there = int(np.count_nonzero(places >= 0))
        if there:
            slots.repair(places[:there], entries.only(0, there))
        if there < len(entries):
            slots.append(entries.only(there, len(entries)))

    def _is_worth_moving(self) -> bool:
        slots = self._opened
        return slots.dead > max(_FEWEST_DEAD, _MOST_DEAD * slots.count)

    def _move(self) -> bool:
        """Move what is alive to a new folder, block by block; whether it was worth it."""
        if not self._is_worth_moving():
            return False
        old = self._opened
        new = Slots(old.folder.with_name(str(int(old.folder.name) + 1)), self._dimensions)
        with self._lock:
            self._next = new
        try:
            first = 0
            while new is not self._slots:
                if self._ending:
                    return False
                first = self._moved(old, new, first)
        finally:
            left = old if new is self._slots else new
            self._next = None
            left.close()
            files.discard(left.folder)
        return True

    def _moved(self, old: Slots, new: Slots, first: int) -> int:
        with self._lock:
            last = min(first + _COPIED_AT_ONCE, old.count)
            new.copy(old, first, last)
            reached("moving")
            if last == old.count:
                new.is_now_whole()
                reached("moved")
                self._slots, self._next = new, None
            return last

    def close(self) -> None:
        """End the thread. What is pending is missing at the next start, and what was being moved stays where it was."""
        self._ending = True
        self._work.set()
        if self._thread is not None:
            self._thread.join()
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.close()
