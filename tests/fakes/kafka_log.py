"""Topics in memory: what `PlainConsumer` reads and `Sender` writes, with compaction by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streams.engine.message import Message


class Landed(NamedTuple):
    """What a producer is told."""

    partition: int
    offset: int


@dataclass
class KafkaLog:
    """One partition a topic, numbered `PARTITION`. `before_send` runs before each record lands: what slips in."""

    records: dict[str, list[Message]] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    before_send: list[Callable[[], object]] = field(default_factory=list)
    now_ms: int = 1_700_000_000_000
    _at: dict[tuple[str, int], int] = field(default_factory=dict)

    def append(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Message:
        offset = self.ends.get(topic, 0)
        self.ends[topic] = offset + 1
        record = Message(topic, PARTITION, offset, key, value, tuple(headers), self.now_ms)
        self.records.setdefault(topic, []).append(record)
        return record

    def compact(self, topic: str) -> None:
        """Keep the last record of each key."""
        last = {record.key: record for record in self.records[topic]}
        self.records[topic] = [record for record in self.records[topic] if last[record.key] is record]

    # ------------------------------------------------------------------ as a consumer

    async def watermarks(self, topic: str) -> dict[int, tuple[int, int]]:
        kept = self.records.get(topic, [])
        end = self.ends.get(topic, 0)
        return {PARTITION: (kept[0].offset if kept else end, end)}

    async def assign(self, positions: Mapping[tuple[str, int], int]) -> None:
        self._at = dict(positions)

    async def position(self, place: tuple[str, int]) -> int:
        return self._at[place]

    async def poll(self, _timeout_s: float) -> list[Message]:
        [(place, at)] = self._at.items()
        found = [record for record in self.records.get(place[0], []) if record.offset >= at]
        self._at[place] = self.ends.get(place[0], 0)
        return found

    async def read(self, topic: str) -> AsyncIterator[Message]:
        for record in list(self.records.get(topic, [])):
            yield record

    # ------------------------------------------------------------------ as a sender

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]] = (),
        partition: int | None = None,
        timestamp_ms: int | None = None,
    ) -> Awaitable[object]:
        if self.before_send:
            self.before_send.pop(0)()
        record = self.append(topic, key, value, headers)
        delivery: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        delivery.set_result(Landed(PARTITION if partition is None else partition, record.offset))
        return delivery


PARTITION = 3
