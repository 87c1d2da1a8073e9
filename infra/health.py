"""Health by progress: a role is unhealthy when work waits and none of it gets done, whatever the process says.

Each role of a process has a `Health` of its own, so that a busy one does not speak for one that hangs. A role may do
several kinds of work beside each other (the index applies items and answers probes); each is watched by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

STALL_SECONDS = 180.0
_RETRY_SECONDS = 60.0
"""A further attempt comes within half a minute; after so long without one nothing is being tried again."""
MOST_TROUBLES = 20


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What `/healthz` and `/readyz` tell of a role.

    `stalled_seconds`: since when work waits without any progress; 0 if none waits. `doing`: what takes so long, as far
    as it is known (a batch on the device, trouble that is waited for); empty where nothing is known to go on: it hangs.
    `troubles`: what a person must know of although work goes on, such as records that were deleted unread.
    """

    healthy: bool
    ready: bool
    waiting: bool
    stalled_seconds: float
    doing: str = ""
    troubles: tuple[str, ...] = ()


@dataclass(slots=True)
class _Work:
    """One kind of work. `since`: when it was last done, or began to wait."""

    since: float
    waiting: bool = False


class Health:
    """Told of waiting and of progress, often and from any thread; asked by the probe.

    Args:
        stall_seconds: how long work may wait without progress. Longer than the longest batch of the slowest model.
        clock: monotonic seconds.
    """

    def __init__(self, *, stall_seconds: float = STALL_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._stall_seconds = stall_seconds
        self._clock = clock
        self._ready = False
        self._work: dict[str, _Work] = {}
        self._unread: set[str] = set()
        self._in_flight = False
        self._doing: dict[str, str] = {}
        self._retried = ("", -_RETRY_SECONDS)
        self._troubles: dict[str, None] = {}

    def trouble(self, text: str) -> None:
        """Show this from now on; the oldest give way to the newest."""
        self._troubles[text] = None
        while len(self._troubles) > MOST_TROUBLES:
            del self._troubles[next(iter(self._troubles))]

    def settled(self, text: str) -> None:
        """Show this trouble no more."""
        self._troubles.pop(text, None)

    def progress(self, work: str = "") -> None:
        """Some message was finished, or a batch left the device."""
        self._of(work).since = self._clock()

    def waiting(self, waiting: bool) -> None:
        """Whether messages are in the pipeline."""
        self._in_flight = waiting
        self._wait("", self._in_flight or bool(self._unread))

    def unread(self, source: str, unread: bool) -> None:
        """Whether records lie in `source` that the pipeline has not even read: a reader that hangs leaves it empty."""
        (self._unread.add if unread else self._unread.discard)(source)
        self._wait("", self._in_flight or bool(self._unread))

    def working(self, work: str, waiting: bool) -> None:
        """Whether something waits for this kind of work."""
        self._wait(work, waiting)

    def doing(self, key: str, what: str = "") -> None:
        """What is going on that may take long; empty when it has ended."""
        if what:
            self._doing[key] = what
        else:
            self._doing.pop(key, None)

    def retrying(self, what: str) -> None:
        """An attempt failed and is going to be repeated. That is no progress, but it is known why."""
        self._retried = (what, self._clock())

    def ready(self, ready: bool) -> None:
        """Whether the role takes work: models warm, partitions assigned."""
        self._ready = ready

    def report(self) -> HealthReport:
        """The state now."""
        now = self._clock()
        waiting = [work for work in list(self._work.values()) if work.waiting]
        stalled = max((now - work.since for work in waiting), default=0.0)
        doing = list(self._doing.values())
        what, at = self._retried
        if now - at < _RETRY_SECONDS:
            doing.append(f"tries {what} again")
        return HealthReport(
            stalled <= self._stall_seconds,
            self._ready,
            bool(waiting),
            stalled,
            ", ".join(doing) if waiting else "",
            tuple(self._troubles),
        )

    def _of(self, work: str) -> _Work:
        found = self._work.get(work)
        if found is None:
            found = self._work.setdefault(work, _Work(self._clock()))
        return found

    def _wait(self, work: str, waiting: bool) -> None:
        state = self._of(work)
        if waiting and not state.waiting:
            # Idle time before is not held against the role.
            state.since = self._clock()
        state.waiting = waiting


class ProcessHealth:
    """The health of every role of a process.

    Args:
        roles: their names.
        stall_seconds: as of `Health`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        roles: Iterable[str],
        *,
        stall_seconds: float = STALL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._roles = {role: Health(stall_seconds=stall_seconds, clock=clock) for role in roles}

    def of(self, role: str) -> Health:
        """The health of one role."""
        return self._roles[role]

    def reports(self) -> dict[str, HealthReport]:
        """The state of each role now."""
        return {role: health.report() for role, health in self._roles.items()}

    def report(self) -> HealthReport:
        """The process is as well as its worst role."""
        found = self.reports()
        told = [f"{role}: {report.doing}" for role, report in found.items() if report.doing]
        return HealthReport(
            all(report.healthy for report in found.values()),
            all(report.ready for report in found.values()),
            any(report.waiting for report in found.values()),
            max((report.stalled_seconds for report in found.values()), default=0.0),
            "; ".join(told),
            tuple(f"{role}: {trouble}" for role, report in found.items() for trouble in report.troubles),
        )
