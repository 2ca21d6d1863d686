"""The rule for resident memory where the heap is counted inside: it never decides alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from leakcheck.detect import Judgement
from leakcheck.model.finding import Shape, Verdict

_KEPT = "Counted inside, neither Python's blocks nor malloc's bytes grew: it is what the allocator keeps for reuse."


def weigh_pages(judgement: Judgement, heap: Sequence[Judgement]) -> Judgement:
    """Weigh what the kernel's pages say against `heap`, the judgements of the counts inside; () where there are none.

    A leak of pages stands beside a leak of the heap; without one it is undecided, because arenas and fragments look the
    same. What pages alone cannot decide is clean where the heap is.

    Does not see: memory mapped by C code past malloc, unless a Python object goes with each piece.
    """
    if not heap:
        return judgement
    grows = any(one.verdict is Verdict.LEAK for one in heap)
    clean = all(one.verdict is Verdict.CLEAN for one in heap)
    if judgement.verdict is Verdict.LEAK and not grows:
        evidence = f"{judgement.evidence} Yet resident memory alone never decides. {_KEPT if clean else ''}".strip()
        return replace(judgement, verdict=Verdict.UNDECIDED, shape=Shape.FILLING, evidence=evidence, rate=None)
    if judgement.verdict is Verdict.UNDECIDED and clean and judgement.detectable is not None:
        evidence = f"{judgement.evidence} {_KEPT}"
        return replace(judgement, verdict=Verdict.CLEAN, shape=judgement.shape or Shape.PLATEAU, evidence=evidence)
    return judgement
