"""A topic as a view in memory, and how far it was read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from streams.engine.message import Message


class View:
    """What the views of this role share. One writer, which calls `noted` after each record; many readers."""

    def __init__(self) -> None:
        self._offsets: dict[int, int] = {}
        self._moved = asyncio.Event()

    def noted(self, message: Message) -> None:
        """A record was taken in: whoever waits for it goes on."""
        self._offsets[message.partition] = message.offset + 1
        self._moved.set()
        self._moved = asyncio.Event()

    @property
    def places(self) -> dict[int, int]:
        """Partition -> the last offset that is known."""
        return {partition: following - 1 for partition, following in self._offsets.items()}

    async def reached(self, wanted: Mapping[int, int], limit_s: float) -> bool:
        """Wait until these offsets, by partition, are known; False where that takes longer than `limit_s`."""
        try:
            async with asyncio.timeout(limit_s):
                while not self.knows(wanted):
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    def knows(self, wanted: Mapping[int, int]) -> bool:
        """Whether these offsets are known."""
        return all(self._offsets.get(partition, 0) > offset for partition, offset in wanted.items())
