"""Where the keys of Weft's own compacted topics lie, however many partitions the topics get.

Kafka places a key by the number of partitions. Raise it, and the next state of a product lies on another partition than
the last one, which stays there for ever: no compaction and no delete reaches it. So the number is taken once, when a
topic is first written to, and kept in the object store under the topic's id; partitions that are added stay empty.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from infra.store import NotFound, ObjectStore
from processors.errors import Fatal, Retryable
from streams.contract.topics import BY_NAME, CAPTIONS, ITEMS, MATCHES, SIMILAR
from streams.kafka.options import METADATA_MS
from streams.kafka.producer import Sender

PINNED = (ITEMS, CAPTIONS, MATCHES, SIMILAR)
"""Compacted topics with keys that Weft writes, and more than one partition."""


class Pin(msgspec.Struct, frozen=True):
    """How many partitions of a topic hold keys."""

    topic: str
    topic_id: str
    partitions: int


@dataclass(frozen=True, slots=True)
class TopicNow:
    """A topic as the broker has it. `topic_id`: "" where it does not say."""

    topic_id: str
    partitions: int


@lru_cache(maxsize=16_384)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition that a key names: murmur2, as Java's clients, aiokafka and Weft place it.

    Remembered, as it is asked when a record is read and when what it gives is sent, and murmur2 is Python: 2 to 6 µs.
    """
    from aiokafka.partitioner import murmur2

    return int(murmur2(key) & 0x7FFFFFFF) % partitions


class Pins:
    """The pins of a cluster.

    Args:
        store: keeps them.
        look: asks the broker for a topic; raises `Retryable` when there is none, or no broker.
        now: monotonic seconds.
    """

    def __init__(
        self, store: ObjectStore, look: Callable[[str], Awaitable[TopicNow]], now: Callable[[], float]
    ) -> None:
        self._store, self._look, self._now = store, look, now
        self._known: dict[str, tuple[float, Pin]] = {}
        self._looking: dict[str, asyncio.Lock] = {topic: asyncio.Lock() for topic in PINNED}

    async def partitions(self, topic: str) -> int | None:
        """How many partitions of the topic hold keys; None for a topic that is not pinned.

        Raises:
            Retryable: neither broker nor store has said it yet.
            Fatal: what the store says of it cannot be read.
        """
        if topic not in self._looking:
            return None
        async with self._looking[topic]:
            known = self._known.get(topic)
            if known is not None and self._now() - known[0] < METADATA_MS / 1000:
                return known[1].partitions
            try:
                pin = await self._pin(topic, await self._look(topic))
            except Retryable:
                if known is None:
                    raise
                pin = known[1]  # the broker is away for a moment: its topics are as they were
            self._known[topic] = (self._now(), pin)
            return pin.partitions

    async def _pin(self, topic: str, seen: TopicNow) -> Pin:
        key = key_of(topic, seen.topic_id)
        pin = Pin(topic, seen.topic_id, seen.partitions)
        if await asyncio.to_thread(self._store.create, key, msgspec.json.encode(pin)):
            return pin
        try:
            found = await _read(self._store, key)
        except NotFound:
            raise Retryable(f"{key} has just been deleted") from None
        # Fewer than were pinned: another topic of the same name, on a broker that gives no ids.
        return found if found.partitions <= seen.partitions else pin


async def _read(store: ObjectStore, key: str) -> Pin:
    try:
        return msgspec.json.decode(await asyncio.to_thread(store.get, key), type=Pin)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # No product is at fault, and to guess the number would put keys where nobody finds them again.
        raise Fatal(f"{store.base}{key} cannot be read ({error}): restore it from a backup of the store") from None


async def partition_held(store: ObjectStore, topic: str, seen: TopicNow, key: bytes) -> int:
    """Where the records of a key lie, for who only reads: by the pin of the topic, or as the topic is where there is none.

    Raises:
        Fatal: what the store says of the topic cannot be read.
    """
    partitions = seen.partitions
    if topic in PINNED:
        with suppress(NotFound):
            partitions = min(partitions, (await _read(store, key_of(topic, seen.topic_id))).partitions)
    return partition_of(key, partitions)


def key_of(topic: str, topic_id: str) -> str:
    """Where the pin lies in the object store."""
    return f"topics/{topic}/{topic_id or 'without-id'}.json"


class PinnedSender:
    """A `Sender` that places the keys of pinned topics itself."""

    def __init__(self, sender: Sender, pins: Pins) -> None:
        self._sender, self._pins = sender, pins

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
        if partition is None and key is not None:
            pinned = await self._pins.partitions(topic)
            partition = None if pinned is None else partition_of(key, pinned)
        if partition is None and BY_NAME.get(topic) is not None and BY_NAME[topic].partitions == 1:
            # Everybody reads all of it: partitions that somebody adds would be read only after a while.
            partition = 0
        return await self._sender.send(
            topic, key=key, value=value, headers=headers, partition=partition, timestamp_ms=timestamp_ms
        )
