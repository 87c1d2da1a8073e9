"""A topic of several partitions in memory, written by clients that place keys differently, as `KeyOrder` reads it."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from streams.contract.topics import UPLOADS
from streams.engine.message import ORIGIN, Message
from streams.kafka.key_order import PassOn
from streams.kafka.pins import partition_of


def crc32_partition(key: bytes, partitions: int) -> int:
    """Where librdkafka's clients (kcat, confluent-kafka) place a key by default."""
    return zlib.crc32(key) % partitions


@dataclass
class KeyTopic:
    """`now_ms` moves on by one with each record that comes from outside."""

    count: int
    now_ms: int = 1_700_000_000_000
    records: dict[int, list[Message]] = field(default_factory=dict)
    read: int = 0
    """Records that were looked through."""

    def write(self, product: str, value: bytes | None, placed: str | int = "murmur2") -> Message:
        """One more record: placed by "murmur2" or "crc32", or without a key on the partition of that number."""
        self.now_ms += 1
        key: bytes | None = product.encode()
        assert key is not None
        if isinstance(placed, int):
            partition, key = placed % self.count, None
        else:
            partition = (partition_of if placed == "murmur2" else crc32_partition)(key, self.count)
        return self.append(partition, key, value, (), self.now_ms)

    def append(
        self, partition: int, key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...], at: int
    ) -> Message:
        lies = self.records.setdefault(partition, [])
        lies.append(Message(UPLOADS, partition, len(lies), key, value, headers, at))
        return lies[-1]

    def pass_on(self, message: Message, to: PassOn) -> Message:
        """As `enrich` does."""
        return self.append(
            to.partition, to.key, message.value, ((ORIGIN, message.identity.encode()),), message.timestamp_ms
        )

    # ------------------------------------------------------------------ as a `Log`

    async def partitions(self) -> int:
        return self.count

    async def first_since(self, partition: int, timestamp_ms: int) -> int | None:
        return next((r.offset for r in self.records.get(partition, []) if r.timestamp_ms >= timestamp_ms), None)

    async def between(self, partition: int, first: int, end: int) -> AsyncIterator[Message]:
        for record in self.records.get(partition, [])[first:end]:
            self.read += 1
            yield record
