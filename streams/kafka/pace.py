"""Lets what trickles come together.

A broker answers a fetch with the first record that comes. Who follows a stream whose writer publishes record by record then asks
for each, and asking costs him and the broker many times what the record costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

STREAM_S = 0.02
"""For who is waited for: a fiftieth of a second more at most, and nothing for what comes after silence."""
SEARCH_S = 0.015
"""For who asks and answers in between: each of the four steps of a query."""
BESIDE_S = 0.1
"""For who follows beside the work, and nobody waits for."""
TRICKLE = 128
"""A poll that brought so many is a backlog: the next one comes at once."""


class Pace:
    """Rests between two polls of a stream, where the one before brought little.

    Args:
        seconds: from the end of one poll to the beginning of the next, at least.
        now: monotonic seconds; None: of the event loop.
        sleep: waits.
    """

    def __init__(
        self,
        seconds: float,
        *,
        now: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._seconds, self._now, self._sleep = seconds, now or _now, sleep
        self._until = 0.0

    def came(self, records: int) -> None:
        """A poll brought so many."""
        self._until = self._now() + self._seconds if 0 < records < TRICKLE else 0.0

    async def rest(self) -> None:
        """Wait until the next poll is due; not at all after one that brought nothing, or much."""
        if self._until and (left := self._until - self._now()) > 0:
            await self._sleep(left)


def _now() -> float:
    return asyncio.get_running_loop().time()
