"""Whether the processors run at full pace. On a virtual machine, what shares a core with one of them halves its pace for
seconds at a time, and no counter of the guest tells."""

from __future__ import annotations

import os
import time

_STEPS = 10_000
_TRIES = 3  # an interrupt lengthens one
_LEARNING_S = 2
_SLOW = 1.3  # times the shortest of that processor: a change of its clock stays below, a shared core is near 2


def _loop() -> float:
    value = 0
    start = time.perf_counter()
    for step in range(_STEPS):
        value = (value * 1103515245 + step) & 0xFFFFFFFF
    return time.perf_counter() - start


class Pace:
    """Times a short loop on each processor that the process may use, against the shortest that it ever took there."""

    def __init__(self) -> None:
        self._processors = sorted(os.sched_getaffinity(0))
        self._shortest: dict[int, float] = {}
        end = time.monotonic() + _LEARNING_S
        while time.monotonic() < end:
            self.full()

    def wait(self, patience_s: float) -> float:
        """Until all of them do, but no longer than that. Returns the time it took, in seconds."""
        start = time.monotonic()
        while not self.full() and time.monotonic() - start < patience_s:
            time.sleep(0.1)
        return time.monotonic() - start

    def full(self) -> bool:
        """Now, on all of them. Takes some milliseconds for each."""
        slow = False
        try:
            for processor in self._processors:
                os.sched_setaffinity(0, {processor})
                took = min(_loop() for _ in range(_TRIES))
                shortest = self._shortest[processor] = min(took, self._shortest.get(processor, took))
                slow = slow or took > _SLOW * shortest
        finally:
            os.sched_setaffinity(0, self._processors)
        return not slow
