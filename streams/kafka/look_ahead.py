"""Reads ahead of a consumer group for what is urgent, and has it done before its turn.

The group reads a partition no further than its pipeline has room; an urgent record at the end of a backlog would be read hours
later. So the records of the partitions that are ours are read once more, up to the end, by a consumer that commits nothing: it
looks who says that he is urgent, remembers of all others the place only, and gives the urgent ones to a second pipeline
(`streams.engine.ahead` keeps the order of each product). A shop's turn comes after each other shop's: one that calls
everything urgent delays itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn, TypeAlias

import numpy as np

from infra.logs import logger
from processors.errors import Fatal, Retryable
from streams.contract.urgency import Said
from streams.engine.ahead import Ahead, Place
from streams.engine.failures import PipelineClosed, Revoked
from streams.engine.message import PRIORITY, URGENT, Message
from streams.engine.pipeline import Pipeline
from streams.kafka.consumer import PlainConsumer
from streams.kafka.pace import STREAM_S
from streams.kafka.positions import RecordAddress, records_between
from streams.kafka.producer import classify_kafka

log = logger(__name__)

MOST_WAITING = 100
"""Urgent records of one shop that wait for their turn, at most; further ones are done in the order of their partition."""
MOST_SHOPS = 1000
"""Shops of which something waits, at most."""
AT_ONCE = 8
"""Urgent products in the second pipeline: as many as help a batch; who comes next waits for these only."""
MOST_PLACES = 4_000_000
"""Records of a partition that lie between the group and the end, and of which the product is remembered: 16 bytes each."""
LANES = 16
LOOKED_BYTES = 2**18
"""Looked at before the loop goes on: a fraction of a millisecond."""
POLL_S = 0.2
PAUSE_S = 1.0


@dataclass(slots=True)
class _Watched:
    """A partition of ours: what lies before the group's place is of no interest any more.

    `products`, `offsets`: of every record that was looked at, in order; the product as a hash.
    """

    next: int
    products: array[int] = field(default_factory=lambda: array("q"))
    offsets: array[int] = field(default_factory=lambda: array("q"))

    def saw(self, product: bytes, offset: int, reached: int) -> None:
        if len(self.offsets) >= MOST_PLACES or len(self.offsets) % 65_536 == 65_535:
            self._drop(reached)
        self.products.append(hash(product))
        self.offsets.append(offset)

    def before(self, product: bytes, offset: int, reached: int) -> list[int]:
        """The records of the product that are still to be done before this one."""
        # By arrays: there may be millions, and the loop has other things to do. The views must be gone before the next append.
        offsets = np.frombuffer(self.offsets, np.int64)[np.frombuffer(self.products, np.int64) == hash(product)]
        return [int(at) for at in offsets if reached < at < offset]

    def _drop(self, reached: int) -> None:
        keep = int(np.searchsorted(np.frombuffer(self.offsets, np.int64), reached, side="right"))
        del self.products[:keep], self.offsets[:keep]


@dataclass(frozen=True, slots=True)
class Rules:
    """What is known of the records of a topic.

    Args:
        said_of: which product a record is of, and whether it is urgent.
        shop_of: whose a product is, by its key.
    """

    said_of: Callable[[Message], Said]
    shop_of: Callable[[bytes], str]

    def product_of(self, message: Message) -> bytes:
        """Which product a record is of."""
        return self.said_of(message).product


Opening: TypeAlias = Callable[[float], AbstractAsyncContextManager[PlainConsumer]]


class LookAhead:
    """Looks through the partitions that a role holds of one topic, and runs a pipeline of its own.

    Args:
        opening: a consumer without a group (`open_consumer`), at a pace (`streams.kafka.pace`).
        topic: what is read.
        ahead: what was taken.
        pipeline: does what is urgent; not running yet.
        rules: of the topic.
    """

    def __init__(self, opening: Opening, topic: str, ahead: Ahead, pipeline: Pipeline[Any], rules: Rules) -> None:
        self._opening, self._topic = opening, topic
        self._ahead, self._pipeline, self._rules = ahead, pipeline, rules
        self._watched: dict[int, _Watched] = {}
        self._changed = asyncio.Event()
        self._waiting: OrderedDict[str, deque[Message]] = OrderedDict()
        self._under_way: set[tuple[Place, int]] = set()
        self._moved = asyncio.Event()

    # ------------------------------------------------------------------ what the group tells

    def begin(self, starts: Mapping[Place, int]) -> None:
        """These partitions are ours, and the group reads them from these offsets on. Those that were ours stay as they are."""
        for place, offset in starts.items():
            if place[0] == self._topic and place[1] not in self._watched:
                self._watched[place[1]] = _Watched(offset)
                self._ahead.begin(place)
        self._changed.set()

    def revoked(self, places: Iterable[Place]) -> None:
        """These are another worker's now."""
        gone = [place for place in places if place[0] == self._topic]
        self._pipeline.forget(gone)
        for place in gone:
            self._watched.pop(place[1], None)
            self._ahead.forget(place)
        self._under_way = {(place, offset) for place, offset in self._under_way if place not in gone}
        for shop, messages in list(self._waiting.items()):
            kept = deque(message for message in messages if message.partition in self._watched)
            self._waiting[shop] = kept
            if not kept:
                del self._waiting[shop]
        self._changed.set()
        self._moved.set()

    # ------------------------------------------------------------------ reading

    async def run(self) -> NoReturn:
        """Look for ever. Raises what ended its pipeline; a broker that is away costs nothing but the haste."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._own(), name=f"{self._pipeline.name}:urgent")
            tasks.create_task(self._submit(), name=f"{self._pipeline.name}:urgent:submit")
            await self._look()
        raise AssertionError("it never ends")

    async def _own(self) -> None:
        try:
            await self._pipeline.run()
        finally:
            self._pipeline.abort()

    async def _look(self) -> NoReturn:
        from aiokafka.errors import KafkaError

        while True:
            try:
                async with self._opening(STREAM_S) as consumer:
                    self._changed.set()
                    while True:
                        await self._poll(consumer)
            except (KafkaError, OSError, Retryable) as error:
                if isinstance(verdict := classify_kafka(error, "io"), Fatal):
                    raise verdict from error
                log.warning("urgent.unread", topic=self._topic, cause=repr(error))
                await asyncio.sleep(PAUSE_S)

    async def _poll(self, consumer: PlainConsumer) -> None:
        from aiokafka.errors import OffsetOutOfRangeError

        if not self._watched:
            self._changed.clear()
            await self._changed.wait()
            return
        if self._changed.is_set():
            self._changed.clear()
            await consumer.assign({(self._topic, number): held.next for number, held in self._watched.items()})
        try:
            messages = await consumer.poll(POLL_S)
        except OffsetOutOfRangeError:
            # Deleted before it was looked at, or another topic: the group finds it out, and says what was lost.
            low = {number: low for number, (low, _) in (await consumer.watermarks(self._topic)).items()}
            for number, held in self._watched.items():
                held.next = max(held.next, low.get(number, 0))
            self._changed.set()
            return
        looked = 0
        for message in messages:
            self._saw(message)
            looked += message.size
            if looked >= LOOKED_BYTES:
                looked = 0
                await asyncio.sleep(0)  # photos inside of records, a long backlog: others have their turn

    def _saw(self, message: Message) -> None:
        held = self._watched.get(message.partition)
        if held is None or message.offset < held.next:
            return  # fetched for an earlier assignment
        held.next = message.offset + 1
        said = self._rules.said_of(message)
        held.saw(said.product, message.offset, self._ahead.reached((message.topic, message.partition)))
        if said.urgent:
            self._queue(message, self._rules.shop_of(said.product))

    def _queue(self, message: Message, shop: str) -> None:
        waiting = self._waiting.get(shop)
        if waiting is None and len(self._waiting) < MOST_SHOPS:
            waiting = self._waiting[shop] = deque()
        if waiting is None or len(waiting) >= MOST_WAITING:
            log.debug(
                "urgent.in_turn", topic=self._topic, shop=shop, partition=message.partition, offset=message.offset
            )
            return
        waiting.append(message)
        self._moved.set()

    # ------------------------------------------------------------------ doing

    async def _submit(self) -> NoReturn:
        async with contextlib.AsyncExitStack() as closing:
            reading: PlainConsumer | None = None
            while True:
                while not self._waiting or len(self._under_way) >= AT_ONCE:
                    self._moved.clear()
                    await self._moved.wait()
                message = self._next()
                if earlier := self._earlier(message):
                    try:
                        if reading is None:
                            reading = await closing.enter_async_context(self._opening(0.0))
                        await self._take(message, await self._read(reading, message, earlier))
                    except Exception as error:
                        if isinstance(verdict := classify_kafka(error, "io"), Fatal):
                            raise verdict from error
                        # Without those before it, it must not be done: it comes in its turn.
                        log.warning("urgent.in_turn", topic=self._topic, offset=message.offset, cause=repr(error))
                    continue
                await self._take(message, ())

    def _next(self) -> Message:
        """Of the shop that has waited longest since its last turn."""
        shop, messages = next(iter(self._waiting.items()))
        message = messages.popleft()
        del self._waiting[shop]
        if messages:
            self._waiting[shop] = messages
        return message

    def _earlier(self, message: Message) -> Sequence[int]:
        held = self._watched.get(message.partition)
        reached = self._ahead.reached((message.topic, message.partition))
        return () if held is None else held.before(self._rules.product_of(message), message.offset, reached)

    async def _read(self, consumer: PlainConsumer, message: Message, offsets: Sequence[int]) -> list[Message]:
        """The earlier records of the same product (others may have the same hash)."""
        product = self._rules.product_of(message)
        found: list[Message] = []
        for offset in offsets:
            address = RecordAddress(message.topic, message.partition, offset)
            found += [record async for record in records_between(consumer, address, offset + 1)]
        return [record for record in found if self._rules.product_of(record) == product]

    async def _take(self, message: Message, earlier: Sequence[Message]) -> None:
        place, product = (message.topic, message.partition), self._rules.product_of(message)
        taken = self._ahead.take(place, product, [one.offset for one in (*earlier, message)])
        if message.offset not in taken:
            for offset in taken:  # the group was dealt anew, or its turn has come: so have those before it
                self._ahead.done(place, product, offset)
            return
        urgent = replace(message, headers=(*message.headers, (PRIORITY, URGENT)))
        for one in (*(record for record in earlier if record.offset in taken), urgent):
            self._under_way.add((place, one.offset))
            try:
                await self._pipeline.submit(one, self._ack(place, product, one.offset))
            except (Revoked, PipelineClosed):
                self._done(place, product, one.offset)

    def _ack(self, place: Place, product: bytes, offset: int) -> Callable[[], None]:
        return lambda: self._done(place, product, offset)

    def _done(self, place: Place, product: bytes, offset: int) -> None:
        self._ahead.done(place, product, offset)
        self._under_way.discard((place, offset))
        self._moved.set()
