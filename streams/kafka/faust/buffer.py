"""The queue between fetching and the pipeline's reader: records of a partition that were fetched together stay together."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

MAX_RECORDS = 4096
MAX_BYTES = 8 * 2**20
TOGETHER = 2048
TOGETHER_BYTES = 2**20
"""What is handed over at once: many small records, or few large ones. Of prices that are told again and again each part has one item a
product: the more records, the fewer items, each of which costs all roles together what three prices cost."""


class Batches:
    """Full at so many records or bytes; then fetching waits until half of it is read.

    Faust's own queue takes records one by one, counts them only (4,096 of them may be gigabytes), and under pressure it pauses
    partitions, which costs a second's sleep each time all of them are paused. One slot at a time would cost two tasks a record.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[Sequence[Any], int]] = deque()
        self._records = self._bytes = 0
        self._room, self._filled = asyncio.Event(), asyncio.Event()
        self._room.set()

    def full(self) -> bool:
        """Whether `put` has to wait."""
        return not self._room.is_set()

    async def put(self, batch: Sequence[Any]) -> None:
        """Add records of one partition. One that waited through a rebalance is put all the same: the reader sees its old
        generation and drops it.
        """
        await self._room.wait()
        size = sum(map(_size, batch))
        self._waiting.append((batch, size))
        self._records += len(batch)
        self._bytes += size
        if self._records >= MAX_RECORDS or self._bytes >= MAX_BYTES:
            self._room.clear()
        self._filled.set()

    async def get(self) -> Sequence[Any]:
        """The records that were put first."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        batch, size = self._waiting.popleft()
        self._records -= len(batch)
        self._bytes -= size
        if self._records <= MAX_RECORDS // 2 and self._bytes <= MAX_BYTES // 2:
            self._room.set()
        return batch


def parts_of(batch: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Records in their order, in parts that are handed over at once."""
    part: list[Any] = []
    size = 0
    for record in batch:
        if part and (len(part) == TOGETHER or size + _size(record) > TOGETHER_BYTES):
            yield part
            part, size = [], 0
        part.append(record)
        size += _size(record)
    if part:
        yield part


def _size(record: Any) -> int:
    return len(record.value or b"")
