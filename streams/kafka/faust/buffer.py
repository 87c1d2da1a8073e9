"""The queue between Faust's fetching and the pipeline's reader: bounded in bytes, and cheap when it is full."""

from __future__ import annotations

import asyncio
from typing import Any

from mode.utils.queues import ThrowableQueue

MAX_EVENTS = 256
MAX_BYTES = 8 * 2**20


class EventBuffer(ThrowableQueue):  # type: ignore[misc]
    """Full at so many events or bytes; then Faust waits until half of it is read.

    Faust's own queue counts events only (4,096 of them may be gigabytes), and under pressure it pauses partitions, which
    costs a second's sleep each time all of them are paused. One slot at a time would cost two tasks an event.
    """

    def __init__(self, *, flow_control: Any, clear_on_resume: bool = False) -> None:
        self._bytes = 0
        self._room = asyncio.Event()
        self._room.set()
        super().__init__(maxsize=0, flow_control=flow_control, clear_on_resume=clear_on_resume)
        # Never "under pressure": see above.
        self.pressure_high_size = 2**31

    def full(self) -> bool:
        """Whether `put` has to wait."""
        return not self._room.is_set()

    async def put(self, value: Any) -> None:
        await self._flow_control.acquire()
        await self._room.wait()
        # One that waited through a rebalance is put all the same: the reader sees its old generation and drops it.
        self.force_put_nowait(value)

    def clear(self) -> None:
        super().clear()
        self._bytes = 0
        self._room.set()

    def _put(self, item: Any) -> None:
        super()._put(item)
        self._bytes += _size(item)
        if self.qsize() >= MAX_EVENTS or self._bytes >= MAX_BYTES:
            self._room.clear()

    def _get(self) -> Any:
        item = super()._get()
        self._bytes -= _size(item)
        if self.qsize() <= MAX_EVENTS // 2 and self._bytes <= MAX_BYTES // 2:
            self._room.set()
        return item


def _size(event: Any) -> int:
    return len(event.message.value or b"")
