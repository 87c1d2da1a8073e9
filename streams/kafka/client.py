"""The client side of Weft: send uploads and queries, read captions, results and dead letters.

It speaks to Kafka and nothing else, as any client in any language could; the CLI and the demo are written on it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import msgspec

from infra.logs import logger
from infra.settings import Settings
from processors.errors import Poison, Retryable
from processors.identity import key_of, split
from streams.contract import codecs, topics
from streams.contract.cloudevents import CONTENT_TYPE
from streams.contract.edit_codecs import decode_edit_result
from streams.contract.edits import EditRequest, EditResult
from streams.contract.records import Article, Caption, Query, Result, Upload
from streams.engine.message import ANSWER, Message
from streams.kafka.consumer import FETCH_WAIT_MS, open_consumer
from streams.kafka.names import names_of
from streams.kafka.options import METADATA_MS, client_options, no_broker, patient, prepare
from streams.kafka.pins import partition_of

log = logger("weft.client")

POLL_S = 0.5
_JSON = [(CONTENT_TYPE, topics.CONTENT_TYPES["json"].encode())]

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """Where an upload landed: its own offset, so that a caller can wait for what comes of it. `product`: its key."""

    product: str
    partition: int
    offset: int
    timestamp_ms: int = 2**62


class Client:
    """An open connection. Use as `async with Client(settings) as client`. Raises `Retryable` when no broker answers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names = names_of(settings)
        self._producer: Any = None

    async def __aenter__(self) -> Self:
        from aiokafka import AIOKafkaProducer
        from aiokafka.errors import KafkaError

        await prepare(self._settings)
        self._producer = AIOKafkaProducer(acks="all", linger_ms=5, max_request_size=4 * 2**20, **self._args())
        patient(self._producer.client)
        try:
            await self._producer.start()
        except BaseException as error:
            await self._producer.stop()
            if isinstance(error, KafkaError | OSError):
                raise no_broker(self._settings, error) from error
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    def _args(self) -> dict[str, Any]:
        return client_options(self._settings)

    async def upload(self, uploads: Sequence[Upload], *, answer: bool = False) -> list[Sent]:
        """Send uploads in order; returns when the broker has all of them.

        `answer`: a caption is to come of each, also where it stands already: somebody waits for it.
        """
        headers = ((ANSWER, b"1"),) if answer else ()
        return await self._send(
            [(key_of(u.shop or "", u.product_id), msgspec.json.encode(u)) for u in uploads], headers
        )

    async def delete(self, product_ids: Sequence[str], *, shop: str = "") -> list[Sent]:
        """Ask for products to be forgotten everywhere; `shop`: whose they are."""
        return await self._send([(key_of(shop, product_id), None) for product_id in product_ids])

    async def _send(
        self, records: Sequence[tuple[str, bytes | None]], headers: Sequence[tuple[str, bytes]] = ()
    ) -> list[Sent]:
        there = self._names.topic(topics.UPLOADS)
        partitions = len(await self._producer.partitions_for(there)) if records else 0
        waiting = [
            await self._producer.send(
                there,
                key=key.encode(),
                value=value,
                headers=[*_JSON, *headers],
                # By its id alone, whichever shop it is of (`streams.kafka.key_order`).
                partition=partition_of(split(key)[1].encode(), partitions),
            )
            for key, value in records
        ]
        places = await asyncio.gather(*waiting)
        return [
            Sent(key, place.partition, place.offset, place.timestamp)
            for (key, _), place in zip(records, places, strict=True)
        ]

    async def ask(self, query: Query) -> None:
        """Send a query and return when the broker has it; its result is on `search.results`."""
        there, key = self._names.topic(topics.QUERIES), query.query_id.encode()
        await self._producer.send_and_wait(there, key=key, value=msgspec.json.encode(query), headers=_JSON)

    async def query(self, query: Query, *, patience_s: float | None = None) -> Result:
        """Send a query and wait for its result.

        Raises:
            Retryable: no answer within the query's deadline and `patience_s` (default 10 s) on top of it.
        """
        patience = query.deadline_ms / 1000 + (10.0 if patience_s is None else patience_s)
        async with Reader(self._settings, topics.RESULTS, from_end=True) as reader:
            key = query.query_id.encode()
            await self.ask(query)
            try:
                async with asyncio.timeout(patience):
                    async for raw in reader.follow():
                        result = result_in(raw) if raw.key == key else None
                        if result is not None:
                            return result
            except TimeoutError:
                pass
        raise Retryable(f"no answer to query {query.query_id} within {patience:.0f} s: is the role compose running?")

    async def edit(self, request: EditRequest, *, patience_s: float = 10.0) -> EditResult:
        """Send a request to edit a photo and wait for its result.

        Raises:
            Retryable: no answer within the request's deadline and `patience_s` on top of it.
        """
        there, key = self._names.topic(topics.EDIT_REQUESTS), request.request_id.encode()
        async with Reader(self._settings, topics.EDIT_RESULTS, from_end=True) as reader:
            await self._producer.send_and_wait(there, key=key, value=msgspec.json.encode(request), headers=_JSON)
            try:
                async with asyncio.timeout(request.deadline_ms / 1000 + patience_s):
                    async for raw in reader.follow():
                        if raw.key == key and raw.value is not None:
                            return decode_edit_result(raw.value)
            except TimeoutError:
                pass
        raise Retryable(f"no answer to the request {request.request_id}: is the role edit running?")

    async def save_query(self, query_id: str, query: Query | None) -> None:
        """Save a standing query, or (None) end it; returns when the broker has it."""
        there = self._names.topic(topics.STANDING)
        if query is not None:
            value = msgspec.json.encode(query)
            await self._producer.send_and_wait(there, key=query_id.encode(), value=value, headers=_JSON)
            return
        # Another client may have placed the query by CRC-32. A deletion elsewhere is compacted away after a day, and the
        # query, which nothing follows in its own partition, would be back with the next start of the role.
        for partition in sorted(await self._producer.partitions_for(there)):
            await self._producer.send_and_wait(there, key=query_id.encode(), headers=_JSON, partition=partition)

    async def take_away(self, topic: str, places: Collection[tuple[bytes, int]]) -> None:
        """Delete what stands under these keys in these partitions of a compacted topic; returns when the broker has it."""
        there = self._names.topic(topic)
        for key, partition in sorted(places):
            await self._producer.send_and_wait(there, key=key, headers=_JSON, partition=partition)

    async def save_article(self, article_id: str, article: Article | None, *, shop: str = "") -> None:
        """Save an article, or (None) take it back; returns when the broker has it. `shop`: whose it is."""
        value = None if article is None else msgspec.json.encode(article)
        there, key = self._names.topic(topics.ARTICLES), key_of(shop, article_id).encode()
        await self._producer.send_and_wait(there, key=key, value=value, headers=_JSON)

    async def end_offsets(self, topic: str) -> dict[str, int]:
        """The end of every partition, as `min_offsets` of a query wants it: {"catalog.items-3": 82}."""
        async with Reader(self._settings, topic, from_end=True) as reader:
            return {f"{topic}-{partition}": offset for partition, offset in sorted((await reader.ends()).items())}

    async def captions(self) -> dict[str, Caption]:
        """The captions as they stand now, by the product's key (its id, without a shop); deleted products are absent, and what is no caption is skipped."""
        found: dict[str, Caption] = {}
        async with Reader(self._settings, topics.CAPTIONS) as reader:
            async for raw in reader.to_end():
                key = (raw.key or b"").decode("utf-8", "replace")
                if raw.value is None:
                    found.pop(key, None)
                elif (caption := caption_in(raw)) is not None:
                    found[key] = caption
        return found


def caption_in(raw: Message) -> Caption | None:
    """The caption in a record of `catalog.captions`; None for a deletion, and for what is none.

    Anybody may write to that topic: one record that cannot be read must not end whoever lists or waits for others.
    """
    try:
        return None if raw.value is None else codecs.decode_caption(raw.value)
    except Poison as error:
        log.warning("skipped: not a caption", partition=raw.partition, offset=raw.offset, cause=str(error))
        return None


def result_in(raw: Message) -> Result | None:
    """The result in a record of `search.results`; None for what is none."""
    try:
        return None if raw.value is None else codecs.decode_result(raw.value)
    except Poison as error:
        log.warning("skipped: not a result", partition=raw.partition, offset=raw.offset, cause=str(error))
        return None


def new_query_id() -> str:
    """A fresh id for a query typed by a person."""
    return f"q-{uuid.uuid4().hex[:12]}"


class Reader:
    """Reads all partitions of one topic without a group: to the present end, or on and on (`pace_s`: see `streams.kafka.pace`).

    Raises:
        Retryable: no broker answers, or there is no such topic.
    """

    def __init__(
        self,
        settings: Settings,
        topic: str,
        *,
        from_end: bool = False,
        client: str = "tool",
        fetch_wait_ms: int = FETCH_WAIT_MS,
        pace_s: float = 0.0,
    ) -> None:
        self._fetch_wait_ms, self._pace_s = fetch_wait_ms, pace_s
        self._settings, self._topic, self._from_end, self._client = settings, topic, from_end, client
        self._closing = AsyncExitStack()
        self._positions: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        from aiokafka.errors import KafkaError

        try:
            self._consumer = await self._closing.enter_async_context(
                open_consumer(
                    self._settings, client=self._client, fetch_wait_ms=self._fetch_wait_ms, pace_s=self._pace_s
                )
            )
            bounds = await self._consumer.watermarks(self._topic)
            # Positions are pinned now: what is sent after this returns is not missed.
            self._positions = {partition: high if self._from_end else low for partition, (low, high) in bounds.items()}
            await self._consumer.assign({(self._topic, p): offset for p, offset in self._positions.items()})
            await self._look_again()
        except (KafkaError, OSError) as error:
            await self._closing.aclose()
            raise no_broker(self._settings, error) from error
        except BaseException:
            await self._closing.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._closing.aclose()

    async def ends(self) -> dict[int, int]:
        """The next offset of every partition, now."""
        return {partition: high for partition, (_, high) in (await self._consumer.watermarks(self._topic)).items()}

    async def bounds(self) -> dict[int, tuple[int, int]]:
        """Per partition: the first offset kept, and the next, now."""
        return await self._consumer.watermarks(self._topic)

    async def read_from(self, positions: Mapping[int, int]) -> None:
        """Go on from these offsets: of what is before them, the caller knows all. Other partitions stay where they are."""
        self._positions |= positions
        await self._consumer.assign({(self._topic, p): offset for p, offset in self._positions.items()})

    async def topic_id(self) -> str:
        """See `PlainConsumer.topic_id`."""
        return await self._consumer.topic_id(self._topic)

    async def follow(self) -> AsyncIterator[Message]:
        """Every record from here on, for ever; also of partitions that are added, and of a topic that is created again."""
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            if loop.time() - looked >= METADATA_MS / 1000:
                await self._look_again()
                looked = loop.time()
            for message in await self._poll():
                yield message

    async def to_end(self) -> AsyncIterator[Message]:
        """Every record up to the end as it is now, and those that come with them; `follow` goes on from there."""
        await self._look_again()
        ends = {partition: end for partition, end in (await self.ends()).items() if partition in self._positions}
        while not await self._past(ends):
            for message in await self._poll():
                yield message

    async def _past(self, ends: Mapping[int, int]) -> bool:
        positions = [(await self._consumer.position((self._topic, p)), end) for p, end in ends.items()]
        return all(position >= end for position, end in positions)

    async def _look_again(self) -> None:
        """The broker may be away for a moment, or the topic: then it is looked for again later."""
        from aiokafka.errors import KafkaError

        try:
            if await self._consumer.look_again(self._topic):
                log.warning("topic.changed", topic=self._topic, what="partitions were added, or it was created again")
            self._positions |= dict.fromkeys(self._consumer.partitions_read(), 0)
        except (Retryable, KafkaError, OSError) as error:
            log.warning("topic.unknown", topic=self._topic, cause=str(error))

    async def _poll(self) -> list[Message]:
        from aiokafka.errors import OffsetOutOfRangeError

        try:
            return await self._consumer.poll(POLL_S)
        except OffsetOutOfRangeError as error:
            # Deleted before it was read, or another topic of the same name: what is kept is read, and this is said.
            log.warning("topic.changed", topic=self._topic, what=f"offsets are not kept any more: {error.args}")
            await self._consumer.start_over(self._topic)
            return []
