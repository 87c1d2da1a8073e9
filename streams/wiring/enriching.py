"""The role `enrich` with the models of a profile: for what comes, and for what is thought again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from infra.settings import Settings
from models.ports import Detector, ImageEncoder
from processors.errors import Code, Fatal, Poison, Retryable
from streams.contract import topics
from streams.engine.message import Message
from streams.facets.live import LiveHeads
from streams.kafka.consumer import open_consumer
from streams.kafka.key_order import KafkaLog
from streams.kafka.pins import Pins, partition_of
from streams.roles.earlier import EarlierItems, ItemsLog, kept_of
from streams.roles.enrich import Enrich, memo_fingerprint
from streams.roles.memo import Memo
from streams.roles.product_states import Kept
from streams.roles.products import Products
from streams.roles.remote import RemotePhotos
from streams.wiring.models import judge_of, shipped_heads
from streams.wiring.parts import Parts, topic_now
from streams.wiring.weights import name_of

CACHED_BYTES = 32 * 2**20
"""Of what was seen on photos: prices of the same products come again and again."""
FRESH_S = 1.0
"""For so long who does not write states takes them as they were read."""


@dataclass(frozen=True, slots=True)
class Enricher:
    """The role, and the facet heads that it follows."""

    enrich: Enrich
    heads: LiveHeads


async def enricher(parts: Parts, settings: Settings, detector: Detector, encoder: ImageEncoder) -> Enricher:
    """Build both; the heads that are live now are taken up.

    Args:
        parts: of the process.
        settings: whose profile the models are of.
        detector: of that profile.
        encoder: likewise.
    """
    shipped = await asyncio.to_thread(shipped_heads, settings)
    judge = judge_of(shipped, encoder.features_maker)
    heads = LiveHeads(parts.store, encoder.features_maker, shipped=shipped, in_thread=parts.in_thread)
    await heads.look()
    enrich = Enrich(
        store=parts.store,
        fetcher=parts.fetcher,
        remote=RemotePhotos(
            parts.fetcher,
            parts.store,
            rules="as it is" if settings.keep_photo_metadata else "",
            seconds=2 * settings.fetch_seconds,
            busy_seconds=settings.busy_host_seconds,
            in_thread=parts.in_thread,
        ),
        detector=detector,
        encoder=encoder,
        memo=Memo(
            parts.store,
            "enrich",
            memo_fingerprint(detector, encoder, shipped.version if judge is not None and shipped is not None else ""),
            in_thread=parts.in_thread,
            cached_bytes=CACHED_BYTES,
        ),
        limits=parts.limits,
        batch_items=settings.batch_items,
        batch_wait_s=settings.batch_wait_ms / 1000,
        keep_metadata=settings.keep_photo_metadata,
        in_thread=parts.in_thread,
        heads=heads.now,
        judge=judge,
        profile="" if settings.profile == "starter" else name_of(settings),
    )
    return Enricher(enrich, heads)


@dataclass(frozen=True, slots=True)
class ReadableItems:
    """A log of items that says so where this worker may not read them: a part must not wait for a right for ever."""

    log: ItemsLog

    async def between(self, partition: int, first: int, end: int) -> AsyncIterator[Message]:
        """See `ItemsLog`. Raises `Poison` too: the broker does not let us read."""
        from aiokafka.errors import TopicAuthorizationFailedError

        try:
            async for message in self.log.between(partition, first, end):
                yield message
        except (Retryable, Fatal) as error:
            if not isinstance(error.__cause__, TopicAuthorizationFailedError):
                raise
            raise Poison(
                f"of this product nothing is kept, and enrich may not read {topics.ITEMS}: give it the right, or send the "
                "product once with its photo and all its metadata",
                field="image",
                code=Code.MISSING_FIELD,
            ) from error


def products_of(parts: Parts, closing: AsyncExitStack | None = None) -> Products:
    """What is known of the products of this cluster.

    Args:
        parts: of the process.
        closing: closes what is opened to find the items of products without a state; None: these are unknown, and
            nothing is written: the role enrich does, beside.
    """

    async def uploads() -> str:
        return await parts.looking.topic_id(topics.UPLOADS)

    async def items() -> str:
        return await parts.looking.topic_id(topics.ITEMS)

    async def opening() -> ItemsLog:
        assert closing is not None  # asked for only then
        consumer = await closing.enter_async_context(open_consumer(parts.settings, client="enrich"))
        return ReadableItems(KafkaLog(consumer, topics.ITEMS))

    async def partition(key: bytes) -> int:
        pinned = await pins.partitions(topics.ITEMS)
        return partition_of(key, pinned or 1)

    async def before(product: str, record: Message | None) -> Kept | None:
        return await kept_of(earlier, product, record)

    pins = Pins(parts.store, topic_now(parts.looking), time.monotonic)
    earlier = EarlierItems(opening, partition)
    if closing is None:
        return Products(parts.store, uploads, items, parts.in_thread, fresh_s=FRESH_S)
    return Products(parts.store, uploads, items, parts.in_thread, before)
