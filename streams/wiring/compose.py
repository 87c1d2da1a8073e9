"""How the role `compose` is built."""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache

from streams.contract import codecs, topics
from streams.contract.cloudevents import output_headers
from streams.contract.records import Result
from streams.engine.message import Message
from streams.engine.observer import Observer
from streams.engine.pipeline import Pipeline
from streams.facets.live import LiveHeads
from streams.kafka.client import Reader
from streams.kafka.pace import SEARCH_S, STREAM_S
from streams.roles import reserve
from streams.roles.compose.asked import QUERY_SIDE
from streams.roles.compose.results import PartitionCount
from streams.roles.compose.role import Compose
from streams.search import query_photos
from streams.search.pending import PendingQueries
from streams.search.shop_asked import shop_asked
from streams.search.spaces import Spaces
from streams.wiring.composers import composers_of, reranker_of
from streams.wiring.generations import encoders_of, partition_count, place_by_key, serve_spaces, when_settled
from streams.wiring.models import judge_of, relevance_of, shipped_heads, words_of
from streams.wiring.parts import Parts, Ready, Role, beside, consume_group, loaded
from streams.wiring.probing import hear, nothing_left, probing
from streams.wiring.twins import twins_of

ADDRESSES = 16_384
"""Addresses of photos that are remembered in the form in which they are shown: an answer has ten, and the next one the same."""


async def run_compose(parts: Parts, ready: Ready) -> None:
    """`search.queries` → `search.probes` → `search.hits` → `search.results`."""
    images = await loaded(lambda: parts.models.image_encoder)
    texts = words_of(parts.settings, await loaded(lambda: parts.models.text_encoder))
    detector = await loaded(lambda: parts.models.detector)
    heads = await asyncio.to_thread(shipped_heads, parts.settings)
    relevance = await asyncio.to_thread(relevance_of, parts.settings)
    live = LiveHeads(parts.store, images.features_maker, shipped=heads, in_thread=parts.in_thread)
    await live.look()
    observer = parts.engine_of("compose").observer
    spaces = Spaces((images, texts), lambda profile: encoders_of(parts.settings, profile), parts.settings.profile)

    async def publish(message: Message, result: Result) -> None:
        headers = output_headers(message, stage="compose", topic=topics.RESULTS)
        key = result.query_id.encode()
        await (await parts.sender.send(topics.RESULTS, key=key, value=codecs.encode(result), headers=headers))
        _tell(observer, result)

    pending = PendingQueries(probing(parts, "compose"), time.time, observer.worked)

    twins = twins_of(parts)
    role = Compose(
        fetcher=parts.fetcher,
        images=images,
        texts=texts,
        pending=pending,
        publish=publish,
        now=time.time,
        limits=parts.limits,
        partitions=parts.settings.partitions,
        batch_items=parts.settings.batch_items,
        relative=lru_cache(ADDRESSES)(parts.store.relative),
        live=spaces.live,
        place=place_by_key(parts),
        counted=PartitionCount(partition_count(parts)),
        detector=detector,
        judge_of=lambda maker: judge_of(heads, maker),
        heads_of=lambda maker: live.now() if maker == images.features_maker else None,
        relevance=relevance,
        twins=twins.ask,
        composers=await asyncio.to_thread(composers_of, parts.settings, images, texts),
        reranker=reranker_of(parts.settings),
    )

    async def keep_house() -> None:
        await query_photos.keep_house(
            parts.store,
            hours=parts.settings.query_photo_hours,
            now=time.time,
            sleep=asyncio.sleep,
            in_thread=parts.in_thread,
        )

    pipeline = Pipeline(
        "compose",
        role.stages(),
        publish=nothing_left,
        dead_letter=role.failed,
        admission=parts.credits(),
        engine=parts.engine_of("compose"),
        priority="query",
        charge=reserve.charge(parts.settings.max_image_bytes, QUERY_SIDE),
        shop_of=shop_asked,
    )
    async with Reader(parts.settings, topics.HITS, from_end=True, client="compose", pace_s=SEARCH_S) as hits:
        consuming = consume_group(parts, "compose", topics.QUERIES, pipeline, ready, pace_s=STREAM_S)
        beginning = when_settled(spaces, parts.stop, consuming)
        following = beside(live.follow(parts.settings.facet_seconds), beginning)
        await beside(
            serve_spaces(parts, spaces),
            beside(hear(hits, pending), beside(keep_house(), beside(twins.follow(), following))),
        )


def _tell(observer: Observer, result: Result) -> None:
    if result.arm:
        observer.composed(result.arm, result.took_ms / 1000)
    if isinstance(result.reranked, str):
        observer.reranked(result.reranked)
    observer.answered("" if result.error is None else result.error.code, partial=result.partial)


ROLE = Role("compose", run_compose, ("image_encoder", "text_encoder", "detector"))
