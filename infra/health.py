"""Health by progress: a process is unhealthy when work waits and none of it gets done, whatever the process says."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What `/healthz` and `/readyz` tell. `stalled_seconds`: since when work waits without any progress; 0 if none waits."""

    healthy: bool
    ready: bool
    waiting: bool
    stalled_seconds: float


class Health:
    """Told of waiting and of progress, often and from any thread; asked by the probe.

    Args:
        stall_seconds: how long work may wait without progress. Longer than the longest batch of the slowest model.
        clock: monotonic seconds.
    """

    def __init__(self, *, stall_seconds: float = 180.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._ready = False
        self._waiting = False
        self._since = clock()

    def progress(self) -> None:
        """Some message was finished, or a batch left the device."""
        self._since = self._clock()

    def doing(self, what: str) -> None:
        """What is going on that may take long."""

    def waiting(self, waiting: bool) -> None:
        """Whether messages are in the pipeline, or lag behind it. Idle time before is not held against us."""
        if waiting and not self._waiting:
            self._since = self._clock()
        self._waiting = waiting

    def ready(self, ready: bool) -> None:
        """Whether the process takes work: models warm, partitions assigned."""
        self._ready = ready

    def report(self) -> HealthReport:
        """The state now."""
        stalled = self._clock() - self._since if self._waiting else 0.0
        return HealthReport(stalled <= self._stall_seconds, self._ready, self._waiting, stalled)
