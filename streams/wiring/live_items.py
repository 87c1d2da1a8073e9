"""Captions follow the live generation: the role reads the items topic of the one that answers, and another one after a swap.

Each items topic is read in a group of its own, from the beginning after every swap (`weft index swap` sees to that). A topic is
read only once no worker reads another one any more. So of a product the last caption that is published is that of the items
topic that is live, in the order of that topic, however many workers there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from aiokafka.errors import KafkaError

from infra.logs import logger
from infra.settings import Settings
from processors.errors import Retryable
from streams.contract import topics
from streams.ops import admin
from streams.search.generations import Generations, captions_group, follow
from streams.wiring.parts import Parts, beside

log = logger("weft.caption")

PAUSE_S = 1.0
LOOK_S = 0.3
SAY_EVERY = 100
"""Looks between two sentences in the log."""

ReadItems = Callable[[str, asyncio.Event], Awaitable[None]]
"""Reads an items topic until the event is set; everything that was taken is published then, and the group left."""


async def read_live(parts: Parts, read: ReadItems) -> None:
    """Read the live items topic, whichever that is, until `parts.stop`."""
    live = LiveItems(parts.settings, lambda: follow(parts.settings, "caption"))
    await beside(live.follow(), live.read(read, parts.stop))


class LiveItems:
    """Which items topic is live, and reading it.

    Args:
        settings: where Kafka is.
        following: the generations as they stand, and with each change.
        members: of a group, how many there are.
    """

    def __init__(
        self,
        settings: Settings,
        following: Callable[[], AsyncIterator[Generations]],
        members: Callable[[Settings, str], Awaitable[int]] = admin.group_members,
    ) -> None:
        self._settings, self._following, self._members = settings, following, members
        self._now: Generations | None = None
        self._changed = asyncio.Event()

    async def follow(self) -> None:
        """Keep up with what `index.control` says, for ever."""
        while True:
            try:
                async for now in self._following():
                    self._now = now
                    self._changed.set()
            except (KafkaError, Retryable, OSError) as error:
                log.warning("generations.unknown", cause=str(error))
            await asyncio.sleep(PAUSE_S)

    async def read(self, read: ReadItems, stop: asyncio.Event) -> None:
        """Read what is live, until `stop` is set."""
        while not stop.is_set():
            if self._now is None:
                await _first(self._changed.wait(), stop.wait())
                continue
            items, ended = self._now.items, asyncio.Event()
            watching = asyncio.create_task(self._until_another(items, ended, stop), name="caption:live")
            try:
                await self._others_left(items, ended)
                if not ended.is_set():
                    log.info("captions.read", items=items)
                    await read(items, ended)
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    async def _until_another(self, items: str, ended: asyncio.Event, stop: asyncio.Event) -> None:
        while not stop.is_set() and (self._now is None or self._now.items == items):
            self._changed.clear()
            await _first(self._changed.wait(), stop.wait())
        ended.set()

    async def _others_left(self, items: str, ended: asyncio.Event) -> None:
        """Wait until nobody makes captions of other items."""
        assert self._now is not None
        looks = 0
        while not ended.is_set() and (busy := await self._busy(self._now, items)):
            if looks % SAY_EVERY == 0:
                log.info("captions.wait", group=busy, what="workers still make captions of the items before the swap")
            looks += 1
            await _first(asyncio.sleep(LOOK_S), ended.wait())

    async def _busy(self, now: Generations, items: str) -> str:
        if now.pointer is None:
            return ""  # there was no swap ever: nobody has read anything else
        before = topics.items_of(now.previous) if now.previous else topics.ITEMS
        others = {topics.ITEMS, before, *(made.items for made in now.all())} - {items}
        for group in sorted(map(captions_group, others)):
            try:
                if await self._members(self._settings, group):
                    return group
            except (KafkaError, Retryable, OSError) as error:
                log.warning("captions.members_unknown", group=group, cause=str(error))
                return group
        return ""


async def _first(*waiting: Coroutine[Any, Any, object]) -> None:
    """Wait for the first of these."""
    tasks = [asyncio.ensure_future(one) for one in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
