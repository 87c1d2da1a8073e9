"""Items or uploads → items of a generation's own: every product of a range, thought again by the models of a profile.

How far it is stands in the offsets of the group that keeps the topic current afterwards, so that the same command goes
on where it was killed; what was thought is in the memo, so that nothing is thought twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from infra.settings import Settings
from processors.errors import Poison
from streams.contract import codecs, topics
from streams.contract.records import Generation
from streams.engine.inline import run_inline
from streams.engine.message import Message
from streams.engine.pipeline import Pipeline
from streams.engine.stages import Done, IoStage, Stage
from streams.kafka.consumer import PartitionId, PlainConsumer, open_consumer
from streams.kafka.pins import Pins, partition_of
from streams.ops import admin
from streams.ops.generations.plan import Range, some_records
from streams.ops.generations.rebuild import Pace
from streams.roles.outcome import NoEffect
from streams.roles.product_states import Kept
from streams.roles.rethink import Counts, ItemsSender, Rethink, product_key
from streams.roles.told import Told
from streams.roles.work import Photo, Work
from streams.search.generations import group_of
from streams.wiring.enriching import Enricher, products_of
from streams.wiring.parts import Parts, topic_now
from streams.wiring.rethink import items_pipeline

COMMIT_S = 2.0
BATCH = 500
LOOKED = 50
TRIED = 4


@dataclass(frozen=True, slots=True)
class Costs:
    """What was found on some of the records: how many the memo knows, and seconds for one that it knows, and for another."""

    looked: int
    known: int
    each_known: float
    each_thought: float

    def seconds(self, records: int) -> float:
        """For so many records like those."""
        if not self.looked:
            return 0.0
        share = self.known / self.looked
        return records * (share * self.each_known + (1 - share) * self.each_thought)


async def costs(found: Enricher, consumer: PlainConsumer, topic: str, ranges: tuple[Range, ...]) -> Costs:
    """Look some products up in the memo, and let the models look at a few that it does not know. Remembers nothing."""
    read = Rethink(found.enrich)
    looked, unknown, started = 0, list[Work[Photo]](), time.perf_counter()
    for message in await some_records(consumer, topic, ranges, LOOKED) if topics.is_items(topic) else []:
        try:
            outcome = await read.read(message)
        except Poison:
            continue
        if isinstance(outcome, Work):
            unknown.append(outcome)
        looked += isinstance(outcome, Work) or not isinstance(outcome.result, NoEffect)
    each_known = (time.perf_counter() - started) / max(1, looked)
    started, tried = time.perf_counter(), unknown[:TRIED]
    if tried:
        await run_inline(found.enrich.stages()[1:-1], tried, lambda _: None)
    each_thought = each_known + (time.perf_counter() - started) / max(1, len(tried))
    return Costs(looked, looked - len(unknown), each_known, each_thought)


@dataclass(slots=True)
class Thought:
    """What a run did. `lost`: products of the range that have no item in the topic, whichever run met them."""

    thought: int = 0
    known: int = 0
    read: int = 0
    lost: int = 0


async def set_offsets(settings: Settings, group: str, offsets: Mapping[PartitionId, int]) -> None:
    """Put a group that has no members to these offsets."""
    async with open_consumer(settings, group=group, start="none") as consumer:
        await consumer.assign(offsets)  # a consumer commits what is assigned to it only
        await consumer.commit(offsets)


class Thinking:
    """One replay that thinks.

    Args:
        parts: of the process.
        settings: where Kafka is.
        made: the generation; its `items` is its own topic.
        source: `catalog.items`, or another items topic, or `catalog.uploads`.
        pace: told of every record.
        tell: told of every product that could not be thought again.
    """

    def __init__(
        self, parts: Parts, made: Generation, source: str, pace: Pace, tell: Callable[[str], None] = lambda _: None
    ) -> None:
        self._parts, self._made, self._source, self._pace, self._tell = parts, made, source, pace, tell
        self._settings: Settings = parts.settings
        self._done: dict[int, int] = {}
        self.result = Thought()

    async def run(self, found: Enricher, consumer: PlainConsumer, ranges: tuple[Range, ...]) -> Thought:
        """Think until the end of every range; then the group stands where the topic is to be followed from."""
        await self._make_topic(consumer)
        group = group_of(self._made.generation)
        before = await admin.group_offsets(self._settings, group)
        starts = {r.partition: max(r.begin, before.get((self._source, r.partition), (0, ""))[0]) for r in ranges}
        stops = {r.partition: r.stop for r in ranges}
        self._pace.skip(sum(max(0, starts[r.partition] - r.begin) for r in ranges))
        newest = await _newest(consumer, self._source, starts, stops)
        async with open_consumer(self._settings, group=group, start="none") as reading:
            await self._think(found, reading, starts, stops, newest)
        follows = {(topics.ITEMS, int(p)): offset for p, offset in self._made.follows.items()}
        done = {(self._source, p): max(stop, starts[p]) for p, stop in stops.items()}
        await set_offsets(self._settings, group, done | follows)
        self.result.lost = len(
            await _live_keys(consumer, self._source, {r.partition: r.begin for r in ranges}, stops)
            - await _live_keys(consumer, self._made.items)
        )
        return self.result

    async def _make_topic(self, consumer: PlainConsumer) -> None:
        spec = replace(topics.spec_of(self._made.items), partitions=len(await consumer.partitions(topics.ITEMS)))
        await admin.create_topics(self._settings, [spec])

    async def _think(
        self,
        found: Enricher,
        consumer: PlainConsumer,
        starts: Mapping[int, int],
        stops: Mapping[int, int],
        newest: Mapping[bytes, int],
    ) -> None:
        pipeline = await self._pipeline(found, lambda message: newest.get(product_key(message)) == message.offset)
        owner = asyncio.create_task(pipeline.run(), name="replay:pipeline")
        reading = {p: start for p, start in starts.items() if start < stops[p]}
        committing = asyncio.create_task(self._commit_now_and_then(consumer), name="replay:commits")
        try:
            if reading:
                await consumer.assign({(self._source, p): start for p, start in reading.items()})
            while reading and not owner.done():
                for message in await consumer.poll(0.5, max_records=BATCH):
                    if message.offset < stops[message.partition]:
                        await pipeline.submit(message, self._ack(message))
                        self.result.read += 1
                        await self._pace.add(1)
                for p in list(reading):
                    if await consumer.position((self._source, p)) >= stops[p]:
                        del reading[p]
            await pipeline.drain()
        finally:
            committing.cancel()
            pipeline.abort()
            await asyncio.gather(owner, committing, return_exceptions=True)

    def _ack(self, message: Message) -> Callable[[], None]:
        def ack() -> None:
            self._done[message.partition] = message.offset + 1

        return ack

    async def _commit_now_and_then(self, consumer: PlainConsumer) -> None:
        while True:
            await asyncio.sleep(COMMIT_S)
            if self._done:
                await consumer.commit({(self._source, p): offset for p, offset in self._done.items()})

    # ------------------------------------------------------------------ the pipeline

    async def _pipeline(self, found: Enricher, wanted: Callable[[Message], bool]) -> Pipeline[object]:
        counts = Counts(self._count_known, self._count_thought, self._count_lost)
        name = f"replay-{self._made.generation}"
        if topics.is_items(self._source):
            out = ItemsSender(self._parts.sender, self._made.items, counts=counts)
            return items_pipeline(self._parts, name, Rethink(found.enrich, counts, wanted).stages(), out)
        place = await self._place()
        out = ItemsSender(self._parts.sender, self._made.items, place, counts)
        products = products_of(self._parts)

        async def kept(key: str) -> Kept:
            # Not by whom its item was made: this one is made in any case.
            return Kept((await products.now(key)).kept.product)

        # A part of a product makes an item with the rest of it, as enrich knows it.
        found = replace(found, enrich=replace(found.enrich, kept=kept))
        return items_pipeline(self._parts, name, _upload_stages(found, counts, wanted), out)

    async def _place(self) -> Callable[[Message], int]:
        pinned = await Pins(self._parts.store, topic_now(self._parts.looking), time.monotonic).partitions(topics.ITEMS)
        return lambda message: partition_of(product_key(message), pinned or 1)

    def _count_known(self) -> None:
        self.result.known += 1

    def _count_thought(self) -> None:
        self.result.thought += 1

    def _count_lost(self, product_id: str, cause: str) -> None:
        self._tell(f"not thought again: {product_id}: {cause}")


def _upload_stages(found: Enricher, counts: Counts, wanted: Callable[[Message], bool]) -> Sequence[Stage]:
    """As `enrich` itself has them: the photo may have to be fetched, what is known of it is recalled."""
    first, *middle, last = found.enrich.stages()
    assert isinstance(first, IoStage)
    assert isinstance(last, IoStage)
    remember = last.run

    async def read(message: Message) -> object:
        if not wanted(message):
            return Done(NoEffect())
        outcome = await found.enrich.read(message)
        if isinstance(outcome, Done):
            counts.known()
            return Done(await stands(outcome.result))
        return outcome

    async def keep(work: Any) -> object:
        counts.thought()
        return await stands(await remember(work))

    async def stands(outcome: object) -> object:
        return await found.enrich.stands(outcome) if isinstance(outcome, Told) else outcome

    return (IoStage("read", read, concurrency=16, size=first.size), *middle, IoStage("remember", keep))


async def _newest(
    consumer: PlainConsumer, topic: str, starts: Mapping[int, int], stops: Mapping[int, int]
) -> dict[bytes, int]:
    """The last offset of each key in a range: what a newer record replaces need not be thought about."""
    found: dict[bytes, int] = {}

    def take(message: Message) -> None:
        if key := product_key(message):
            found[key] = message.offset

    await _scan(consumer, topic, starts, stops, take)
    return found


async def _live_keys(
    consumer: PlainConsumer,
    topic: str,
    starts: Mapping[int, int] | None = None,
    stops: Mapping[int, int] | None = None,
) -> set[bytes]:
    """The keys whose last record (of a range) is no deletion, and is what its topic holds."""
    marks = await consumer.watermarks(topic)
    found: set[bytes] = set()

    def take(message: Message) -> None:
        key = product_key(message)
        if not message.value:
            found.discard(key)
        elif key and _counts(message):
            found.add(key)

    starts = starts or {p: low for p, (low, _) in marks.items()}
    await _scan(consumer, topic, starts, stops or {p: high for p, (_, high) in marks.items()}, take)
    return found


def _counts(message: Message) -> bool:
    try:
        if topics.is_items(message.topic):
            codecs.decode_item(message.value or b"")
        else:
            codecs.decode_upload(message)
    except Poison:
        return False
    return True


async def _scan(
    consumer: PlainConsumer,
    topic: str,
    starts: Mapping[int, int],
    stops: Mapping[int, int],
    take: Callable[[Message], None],
) -> None:
    reading = {p: start for p, start in starts.items() if start < stops[p]}
    if reading:
        await consumer.assign({(topic, p): start for p, start in reading.items()})
    while reading:
        for message in await consumer.poll(0.5, max_records=2000):
            if message.offset < stops[message.partition]:
                take(message)
        for p in list(reading):
            if await consumer.position((topic, p)) >= stops[p]:
                del reading[p]
