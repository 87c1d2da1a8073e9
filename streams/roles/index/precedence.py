"""Queries before a backfill: how the records of a generation that is being built are applied while somebody asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from streams.engine.message import Message

SLICE = 32
"""Records of a backfill that are applied at once: some milliseconds, in which the thread that searches gets its turn late."""
ASKED_S = 1.0
"""So long after a probe a backfill takes half of its time at most: the next one is likely to come."""
MOST_S = 0.25
"""A backfill waits no longer for the searches under way: under queries without end it goes on, slowly."""


PIECE_S = 0.004
"""A pause of a thread that restores a shard: about as long as a piece of it (`index_sync.pieces.PIECE`) takes, twice."""


class Precedence:
    """Says when a backfill may go on. All calls on the event loop, but for `give_way_in_thread`.

    Args:
        now: seconds of a clock that never goes back.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._asked: float | None = None
        self._searches = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def searching(self) -> bool:
        """Whether a search waits or is under way."""
        return self._searches > 0

    def begin(self) -> None:
        """A search has come."""
        self._searches += 1
        self._asked = self._now()
        self._quiet.clear()

    def end(self) -> None:
        """One is done."""
        self._searches -= 1
        if not self._searches:
            self._quiet.set()

    async def give_way(self, worked_s: float) -> None:
        """Called between two slices, of which the last took `worked_s`: returns at once where nobody asks."""
        if self._asked is None or self._now() - self._asked > ASKED_S:
            return
        await asyncio.sleep(min(worked_s, MOST_S))
        with suppress(TimeoutError):
            async with asyncio.timeout(MOST_S):
                await self._quiet.wait()

    def give_way_in_thread(self) -> None:
        """Called in a thread between two pieces of some milliseconds: the processor is let to whoever asked within the last second."""
        asked = self._asked
        if asked is not None and self._now() - asked <= ASKED_S:
            time.sleep(PIECE_S)


async def in_slices(
    apply: Callable[[Sequence[Message], int], Awaitable[None]],
    batch: Sequence[Message],
    next_offset: int,
    give_way: Callable[[float], Awaitable[None]] | None,
) -> None:
    """Apply records of one partition, slice by slice where somebody has precedence; few at once (no backfill) go as they are.

    Args:
        apply: takes records, and the offset below which all is applied then.
        batch: in order.
        next_offset: after all of them.
        give_way: see `Precedence.give_way`; None: all at once.
    """
    clock = asyncio.get_running_loop().time
    while give_way is not None and len(batch) > SLICE:
        started, part, batch = clock(), batch[:SLICE], batch[SLICE:]
        await apply(part, part[-1].offset + 1)
        await give_way(clock() - started)
    await apply(batch, next_offset)
