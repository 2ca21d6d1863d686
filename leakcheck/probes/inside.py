"""What only a Python process itself can tell: its heap, its tasks, and the containers that grow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from leakcheck.guards import bound_in_source, keeps_in_source
from leakcheck.model.reading import REGISTRY, Holder, Reading, Resource, Statistic
from leakcheck.probes import MOST_HOLDERS, CannotReadError, Setting
from leakcheck.probes._inside import Inside, Registry
from leakcheck.probes._look import ProcessLook

POSSIBLE = tuple(
    Resource(name=name, unit=unit, statistic=statistic, per_process=True, title=title, judged=judged)
    for name, unit, statistic, judged, title in (
        ("heap.blocks", "blocks", Statistic.LEVEL, True, "memory blocks held by Python objects"),
        ("heap.malloc", "bytes", Statistic.LEVEL, True, "memory in use of malloc (C extensions, large objects)"),
        ("heap.objects", "objects", Statistic.LEVEL, False, "objects known to the garbage collector"),
        ("heap.modules", "modules", Statistic.COUNT, False, "imported modules"),
        ("heap.garbage", "objects", Statistic.COUNT, True, "objects that the collector cannot free"),
        ("tasks", "tasks", Statistic.COUNT, True, "asyncio tasks that have not ended"),
        ("threads.python", "threads", Statistic.COUNT, False, "threads by the name that Python gives them"),
    )
)
"""What a Python process can tell, beside its registries."""
_MOST_REGISTRIES = 200
_THREAD_KEEPS = sum(range(24, 1033, 16)) * 7
"""Bytes: 64 sizes of blocks, seven of each, which glibc keeps for each thread and counts as in use."""
_UNNAMED = " not named yet"
"""So ends the name of a container that hangs nowhere known yet; it gets one at a later floor, or is let go."""


class Probe:
    """Gives what the agent inside each Python process read, its garbage collected first.

    Blocks are those of Python's allocator (`sys.getallocatedblocks`); malloc's bytes are glibc's own figure
    (`mallinfo2`, uordblks + hblkhd) and leave out what Python's small objects take. They include what glibc's threads
    keep for the next request, some 230 KiB each; in a process that was started here they keep nothing. A registry is a
    container that was seen to grow, named by where it hangs. Where an agent does not answer nothing is read, and the
    reason is kept.

    Does not see: memory that C code takes from the kernel past malloc; growth spread over many tiny containers (it
    shows in `heap.blocks`, without a name); containers with fewer than 8 entries; Python embedded in another program.
    """

    def __init__(self, setting: Setting) -> None:
        self._is_started_here = setting.parent is not None
        self._fixed: tuple[Resource, ...] = ()
        self._registries: dict[str, Resource] = {}

    def resources(self) -> tuple[Resource, ...]:
        """Nothing until a Python process was seen; then the fixed ones, and each registry that was found."""
        return (*self._fixed, *self._registries.values())

    def read_process(self, look: ProcessLook) -> Iterable[Reading]:
        """Give the readings of one process. Raises CannotReadError where its agent does not answer."""
        inside = look.inside
        if inside is None:
            return
        if isinstance(inside, str):
            self._know(threads=1)
            raise CannotReadError(inside)
        self._know(sum(inside.threads.values()))
        yield Reading(resource="heap.blocks", value=inside.blocks)
        if inside.malloc is not None:
            yield Reading(resource="heap.malloc", value=inside.malloc)
        yield Reading(resource="heap.objects", value=inside.objects, holders=_holders(inside.types))
        yield Reading(resource="heap.modules", value=inside.modules)
        yield Reading(resource="heap.garbage", value=inside.garbage)
        tasks = inside.tasks or {}
        yield Reading(resource="tasks", value=sum(tasks.values()), holders=_holders(tasks))
        yield Reading(resource="threads.python", value=sum(inside.threads.values()), holders=_holders(inside.threads))
        yield from self._of_registries(inside)

    def _know(self, threads: int) -> None:
        """Once: what there is to be read, and what of malloc's count may be freed already."""
        spare = 0.0 if self._is_started_here else float(_THREAD_KEEPS * threads)
        malloc = (replace(one, spare=spare) if one.name == "heap.malloc" else one for one in POSSIBLE)
        self._fixed = self._fixed or tuple(malloc)

    def _of_registries(self, inside: Inside) -> Iterable[Reading]:
        for one in inside.registries:
            if one.name.endswith(_UNNAMED):
                continue
            name = f"{REGISTRY}{one.name}"
            if name not in self._registries:
                if len(self._registries) >= _MOST_REGISTRIES:
                    continue
                self._registries[name] = _resource(name, one)
            yield Reading(resource=name, value=one.length)


def _resource(name: str, one: Registry) -> Resource:
    bound, bound_by = (float(one.bound), one.bound_by) if one.bound is not None else (None, "")
    if bound is None:
        bound, bound_by = bound_in_source(one.name, one.type, one.file, one.numbers)
        bound = None if bound is None else bound * one.containers
    return Resource(
        name=name,
        unit="entries",
        statistic=Statistic.COUNT,
        per_process=True,
        title=f"{one.name} ({one.type})",
        bound=bound,
        bound_by=bound_by,
        keeps=keeps_in_source(one.name, one.type, one.file),
    )


def _holders(counts: Mapping[str, int]) -> tuple[Holder, ...]:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Holder(name=name, count=count) for name, count in ordered[:MOST_HOLDERS])
