"""One order for each product, whoever produced it.

Kafka orders a partition, and nothing else. Java's clients, aiokafka and Weft place a key by murmur2, librdkafka's by
CRC-32, and a record without a key lies anywhere; after partitions were added, the older records of a key lie elsewhere
than the newer. So the partition of a product is the one that its id names by murmur2 among the partitions there are now.
A record on another one is passed on to it as it is, under its key, with its identity in a header and its own timestamp.
There it counts by its time: it is superseded when a record of its product that is younger lies before it. Of two records of
one millisecond on two partitions nobody knows the order: the deletion counts as the younger.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from infra.logs import logger
from processors.errors import Code, Poison, Retryable
from processors.identity import split
from streams.contract.urgency import said_of
from streams.engine.message import ORIGIN, Message
from streams.kafka.consumer import PlainConsumer
from streams.kafka.notices import Notices, NullNotices
from streams.kafka.options import METADATA_MS
from streams.kafka.pins import partition_of
from streams.kafka.positions import RecordAddress, records_between

log = logger(__name__)

MAX_KEYS = 50_000
MAX_BEHIND = 100_000
MAX_ORIGINS = 256
"""Partitions from which the records of one product came, at most: the header that names them may be forged."""
MISPLACED = PARTITIONER, NO_KEY, SHOP_KEY = "partitioner", "no key", "key with its shop"


@dataclass(frozen=True, slots=True)
class Here:
    """The record lies where its product's order is, and nothing younger lies before it."""


@dataclass(frozen=True, slots=True)
class PassOn:
    """It belongs to this partition, under this key."""

    partition: int
    key: bytes


@dataclass(frozen=True, slots=True)
class Superseded:
    """A younger record of the product lies before it, at this offset: it has no effect any more."""

    offset: int


Verdict: TypeAlias = Here | PassOn | Superseded


class LastSaid:
    """Of a topic that every reader reads whole (`search.standing`): whether a record still counts, when all were read in any order.

    The records of a key may lie in several partitions, because clients place it differently or partitions were added. Within
    a partition offsets decide, between partitions the records' times; of two of one millisecond the deletion. The latest
    `most` keys are remembered, those that were deleted among them.
    """

    def __init__(self, most: int = MAX_KEYS) -> None:
        self._most = most
        self._last: OrderedDict[bytes, dict[int, Message]] = OrderedDict()
        """Of each key the last record of each partition: one that a later one of its own partition replaced does not hide those of others."""

    def counts(self, message: Message) -> bool:
        """Whether nothing younger was said of its key; it is remembered then. A record that comes again counts again."""
        key = message.key or b""
        last = self._last.setdefault(key, {})
        own = last.get(message.partition)
        if own is None or not _before(message, own):
            last[message.partition] = message
        if any(_before(message, one) for one in last.values()):
            return False
        self._last.move_to_end(key)
        if len(self._last) > self._most:
            self._last.popitem(last=False)
        return True


def _before(one: Message, other: Message) -> bool:
    if one.partition == other.partition:
        # A topic that was created again begins anew with younger records.
        return one.offset < other.offset and one.timestamp_ms <= other.timestamp_ms
    return (one.timestamp_ms, one.value is None) < (other.timestamp_ms, other.value is None)


class Log(Protocol):
    """The topic as `KeyOrder` reads it (`KafkaLog`)."""

    async def partitions(self) -> int:
        """How many there are now."""
        ...

    async def first_since(self, partition: int, timestamp_ms: int) -> int | None:
        """The first offset whose record is at least as young; None when there is none."""
        ...

    def between(self, partition: int, first: int, end: int) -> AsyncIterator[Message]:
        """The records from `first` up to `end` (exclusive), as far as they are kept."""
        ...


@dataclass(frozen=True, slots=True)
class _Told:
    """When a record was said, and where it first came: what orders it among those of its product."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    deletes: bool

    def before(self, other: _Told) -> bool:
        """Within a partition its offsets decide, between partitions the records' times; of one millisecond, the deletion."""
        if (self.topic, self.partition) == (other.topic, other.partition):
            return self.offset < other.offset
        return (self.timestamp_ms, self.deletes) < (other.timestamp_ms, other.deletes)


@dataclass(slots=True)
class _Memory:
    """What is known of one partition: the records of `start` to `next`, the youngest of each product and origin."""

    start: int
    next: int
    products: OrderedDict[bytes, dict[int, tuple[_Told, int]]] = field(default_factory=OrderedDict)

    def saw(self, key: bytes, told: _Told, offset: int) -> None:
        by_origin = self.products.setdefault(key, {})
        known = by_origin.get(told.partition)
        if known is None or known[0].before(told):
            by_origin[told.partition] = (told, offset)
            if len(by_origin) > MAX_ORIGINS:
                del by_origin[min(by_origin, key=lambda origin: by_origin[origin][0].timestamp_ms)]
        self.products.move_to_end(key)

    def younger(self, key: bytes, told: _Told, offset: int) -> int | None:
        """The offset of a record of the product before `offset` that is younger."""
        found = self.products.get(key, {}).values()
        return next((at for other, at in found if at < offset and told.before(other)), None)

    def shrink(self, most: int) -> None:
        while len(self.products) > most:
            _, by_origin = self.products.popitem(last=False)
            self.start = max(self.start, *(at + 1 for _, at in by_origin.values()))


async def product_of(message: Message) -> bytes | None:
    """The product that a record is of, as its key (`processors.identity`); None where it does not say."""
    return (await asyncio.to_thread(said_of, message)).product or None


def placed_by(product: bytes) -> bytes:
    """What names the partition of a product's uploads: its id alone, which a client that knows no shops sends as the key."""
    if not product.startswith(b"//"):
        return product
    return split(product.decode("utf-8", "surrogateescape"))[1].encode("utf-8", "surrogateescape")


class KeyOrder:
    """Tells a role of each record whether to work on it. Asked in the order of the partition.

    Nothing is remembered of a partition until a record comes that was passed on to it: whose clients agree on the
    partitioner pays nothing.

    Args:
        log: the topic.
        notices: told of records on the wrong partition.
        now: monotonic seconds.
        max_keys: products remembered of one partition, at most.
        max_behind: records that are looked through for one that was passed on, at most: a forged time must not make a
            role read for days.
    """

    def __init__(
        self,
        log: Log,
        notices: Notices | None = None,
        *,
        now: Callable[[], float],
        max_keys: int = MAX_KEYS,
        max_behind: int = MAX_BEHIND,
    ) -> None:
        self._log, self._now = log, now
        self._max_keys, self._max_behind = max_keys, max_behind
        self._notices = notices or NullNotices()
        self._counted: tuple[float, int] | None = None
        self._memories: dict[int, _Memory] = {}
        self._looking = asyncio.Lock()
        self._warned = False

    async def place(self, message: Message, product: bytes) -> Verdict:
        """Where a record of this product belongs, and whether it still counts.

        Raises:
            Poison: it was passed on, and lies too far back to tell.
            Retryable: the broker is away.
        """
        right = partition_of(placed_by(product), await self._partitions(message.partition))
        if right != message.partition:
            self._tell(message, product)
            await self._passes_through(message)
            return PassOn(right, product)
        if message.partition not in self._memories and message.header(ORIGIN) is None:
            return Here()
        told = _told(message)
        # One that comes back to where it first lay, too: who passed it on did not know yet of partitions that were added.
        passed_on = message.header(ORIGIN) is not None and (told.topic, told.partition, told.offset) != message.source
        if not passed_on and message.partition not in self._memories:
            return Here()
        async with self._looking:
            return await self._among(message, product, told, passed_on=passed_on)

    async def _passes_through(self, message: Message) -> None:
        """It is of no product whose order is here, and leaves no gap in what is known: one would be looked up anew."""
        if message.partition in self._memories:
            async with self._looking:
                memory = self._memories[message.partition]
                if memory.next == message.offset:
                    memory.next += 1

    async def _among(self, message: Message, product: bytes, told: _Told, *, passed_on: bool) -> Verdict:
        memory = self._memories.get(message.partition)
        if memory is None or not memory.start <= message.offset <= memory.next:
            # Records in between were another worker's, or there are holes: what was not seen here is looked up.
            memory = self._memories[message.partition] = _Memory(message.offset, message.offset)
        verdict: Verdict = Here()
        if passed_on:
            await self._look_back(memory, message.partition, told.timestamp_ms)
            younger = memory.younger(product, told, message.offset)
            if younger is not None:
                verdict = Superseded(younger)
        memory.saw(product, told, message.offset)
        memory.next = max(memory.next, message.offset + 1)
        memory.shrink(self._max_keys)
        return verdict

    async def _look_back(self, memory: _Memory, partition: int, timestamp_ms: int) -> None:
        """Look through what lies before the memory, back to that time."""
        first = await self._log.first_since(partition, timestamp_ms)
        if first is None or first >= memory.start:
            return
        if memory.start - first > self._max_behind:
            raise Poison(
                f"lies more than {self._max_behind} records back, on another partition than its key names: send it again",
                field="key",
                code=Code.SUPERSEDED,
            )
        async for record in self._log.between(partition, first, memory.start):
            product = await product_of(record)
            if product is not None:
                memory.saw(product, _told(record), record.offset)
        memory.start = first

    async def _partitions(self, at_least: int) -> int:
        now = self._now()
        if self._counted is None or now - self._counted[0] > METADATA_MS / 1000 or at_least >= self._counted[1]:
            self._counted = (now, await self._log.partitions())
        return self._counted[1]

    def _tell(self, message: Message, product: bytes) -> None:
        if message.header(ORIGIN) is not None:
            return  # partitions were added while it was on its way
        why = PARTITIONER if message.key else NO_KEY
        if message.key == product != placed_by(product):
            why = SHOP_KEY
        self._notices.misplaced(message.topic, why)
        if why == PARTITIONER and not self._warned:
            self._warned = True
            text = (
                f"{message.topic}: records lie on other partitions than their keys name; they are passed on. Set the"
                " partitioner of the client that writes them to murmur2 (librdkafka: partitioner=murmur2_random)"
            )
            self._notices.trouble(text)
            log.warning("records.misplaced", what=text, partition=message.partition, offset=message.offset)


def _told(message: Message) -> _Told:
    """Of the record as it first came."""
    topic, partition, rest = message.identity.rsplit("/", 1)[0].split("/")
    offset, timestamp_ms = rest.split("@")
    return _Told(topic, int(partition), int(offset), int(timestamp_ms), deletes=not message.value)


Place: TypeAlias = Callable[[Message, bytes], Awaitable[Verdict]]
"""`KeyOrder.place`, as a role takes it."""


class KafkaLog:
    """A `Log` over a consumer of its own: it is assigned elsewhere with each look.

    Args:
        consumer: without a group.
        topic: the topic.
    """

    def __init__(self, consumer: PlainConsumer, topic: str) -> None:
        self._consumer, self._topic = consumer, topic

    async def partitions(self) -> int:
        """See `Log`."""
        return len(await self._consumer.partitions(self._topic))

    async def first_since(self, partition: int, timestamp_ms: int) -> int | None:
        """See `Log`."""
        from aiokafka.errors import KafkaError

        try:
            return await self._consumer.first_since((self._topic, partition), timestamp_ms)
        except (KafkaError, OSError) as error:
            raise Retryable(f"the records before cannot be found: {error!r}") from error

    async def between(self, partition: int, first: int, end: int) -> AsyncIterator[Message]:
        """See `Log`."""
        from aiokafka.errors import KafkaError

        try:
            async for message in records_between(self._consumer, RecordAddress(self._topic, partition, first), end):
                yield message
        except (KafkaError, OSError) as error:
            raise Retryable(f"the records before cannot be read: {error!r}") from error
