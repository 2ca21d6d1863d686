"""next-leak 0.5: growth of memory from cycle to cycle, against a gate that scales with the requests of a cycle.

Source: github.com/xabierlameiro/next-leak, src/trend.ts, its description and constants. It collects garbage and samples
the JS heap after each cycle of load and idling; the floors here are such samples, of anonymous memory, and their run is
cut into six cycles after a baseline. From samples under load, a cycle's sample is the lowest of its last quarter.

Does not see: anything but memory; leaks below 256 KiB a cycle; descriptors, processes, threads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from series import Recorded
from trends import blocks

_CYCLES = 6
_NOISE = 256 * 1024.0
_PER_1000_REQUESTS = 51.2 * 1024
_GIVEN_BACK = 0.1
_TOO_LARGE_TO_ACQUIT = 8.0
_ARRIVED = 0.5
_SETTLED_SPREAD = 1.5
_SETTLED_CYCLES = 3


def rule(series: Recorded) -> str:
    """Classify the cycles after the first, which is its engine's warm-up."""
    memory = series.memory()
    if memory is None or len(memory) < 2 * _CYCLES:
        return "undecided"
    cycles = [float(part[-max(1, len(part) // 4) :].min()) for part in blocks(memory[1:], _CYCLES)]
    requests = (series.operations[-1] - series.operations[0]) / _CYCLES
    return classify([float(memory[0]), *cycles], max(_NOISE, _PER_1000_REQUESTS * requests / 1000))


def classify(samples: Sequence[float], gate: float) -> str:
    """Judge a baseline and one sample a cycle; saturating is a healthy answer there, and here."""
    deltas = np.diff(np.array(samples))[1:]
    mean, net = float(deltas.mean()), float(deltas.sum())
    if _saturates(deltas.tolist(), gate):
        return "clean"
    if (deltas >= gate).all():
        return "leak"
    peaks = np.maximum.accumulate(np.array(samples[1:]))
    given_back = float((peaks - np.array(samples[1:])).max())
    stepwise = (deltas >= gate).sum() >= 2 and mean >= gate and net > 0 and given_back <= _GIVEN_BACK * net
    if stepwise:
        return "leak"
    if (deltas <= 0).any() or mean < gate:
        return "undecided" if mean >= _TOO_LARGE_TO_ACQUIT * gate and net > 0 else "clean"
    return "undecided"


def _saturates(deltas: Sequence[float], gate: float) -> bool:
    """Growth that began above the gate, fell to half or less, and stopped at most once without coming back."""
    if len(deltas) < 3 or deltas[0] < gate or deltas[-1] > _ARRIVED * deltas[0]:
        return False
    stop = next((index for index, delta in enumerate(deltas) if delta <= 0), None)
    if stop is not None and (deltas[stop - 1] >= gate or any(delta >= gate for delta in deltas[stop:])):
        return False
    tail = deltas[-max(_SETTLED_CYCLES, -(-len(deltas) // 3)) :]
    if min(tail) >= gate and max(tail) <= _SETTLED_SPREAD * min(tail):
        return False  # it bends, and ends on a steady rate that is a leak's
    half = len(deltas) // 2
    return float(np.mean(deltas[half:])) < float(np.mean(deltas[:half]))
