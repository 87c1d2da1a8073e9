"""The composition root: the one place that knows which classes the roles of a process are made of."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from infra.fetch import Fetcher
from infra.settings import Settings
from infra.store import ObjectStore
from infra.stores import open_store
from infra.threads import STORE_THREADS, InThread, threads
from models.guard import Observe
from processors.decode import DecodeLimits
from processors.errors import Fatal, Poison
from processors.policies import policies_of
from streams.contract import codecs, topics
from streams.contract.cloudevents import ce_headers, output_headers, rfc3339
from streams.contract.records import Caption, Probe, Result
from streams.engine.credits import Credits
from streams.engine.device import Device
from streams.engine.message import Message
from streams.engine.observer import Observer
from streams.engine.pipeline import Engine, Pipeline
from streams.kafka.client import Reader
from streams.kafka.consumer import PlainConsumer, open_consumer
from streams.kafka.dead_letters import dead_letters, lost_letters
from streams.kafka.faust.app import consume
from streams.kafka.key_log import KafkaLog
from streams.kafka.key_order import KeyOrder
from streams.kafka.notices import Notices, NullNotices, telling
from streams.kafka.pins import PinnedSender, Pins, TopicNow
from streams.kafka.positions import Positions
from streams.kafka.producer import Sender, classify_kafka, open_producer
from streams.kafka.store_claim import hold_patiently
from streams.ops.dlq_watch import watch_letters
from streams.roles import reserve
from streams.roles.caption.neighbours import Neighbourhood
from streams.roles.caption.role import Captioner
from streams.roles.caption.rules import load as hold_rules
from streams.roles.compose import QUERY_SIDE, Compose
from streams.roles.enrich import SERVING_SIDE, Enrich, memo_fingerprint
from streams.roles.index.role import IndexConfig, IndexRole
from streams.roles.memo import Memo
from streams.roles.outcome import Outcome, publisher
from streams.search import query_photos
from streams.search.pending import PendingQueries
from streams.wiring_models import Models, calibrations

T = TypeVar("T")

CAPTION_WAIT_S = 0.25
"""A language model's batch takes seconds: a quarter of one more for a fuller batch is well spent."""
CPU_THREADS = 4
LOAD_S = 1800.0
"""Longest time to load a model and to run it once: the first time its base is unpacked and converted, on a slow disk."""
BROKER_PATIENCE_S = 120.0
"""A broker that is being started again is waited for; one that was named wrongly is told soon enough."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What all roles of one process share."""

    settings: Settings
    store: ObjectStore
    sender: Sender
    engine: Engine
    models: Models
    fetcher: Fetcher
    stop: asyncio.Event
    in_thread: InThread
    """Runs what waits for the store."""
    looking: PlainConsumer
    """Asks for topics, and looks single records up: without a group, assigned elsewhere with each look."""
    observers: Mapping[str, Observer] = field(default_factory=dict)
    notices: Mapping[str, Notices] = field(default_factory=dict)

    def engine_of(self, role: str) -> Engine:
        """The engine, telling the observer of this role where there is one: several roles may share a process."""
        return replace(self.engine, observer=self.observers.get(role, self.engine.observer))

    def notices_of(self, role: str) -> Notices:
        """Where this role tells what it finds on the broker."""
        return self.notices.get(role, NullNotices())

    @property
    def limits(self) -> DecodeLimits:
        """What an image may be."""
        return DecodeLimits(max_bytes=self.settings.max_image_bytes, max_pixels=self.settings.max_image_pixels)

    def credits(self) -> Credits:
        """The memory of one role's pipeline."""
        return Credits(self.settings.credit_bytes)


Ready = Callable[[str], None]
"""Called with the role's name once it takes work."""


@asynccontextmanager
async def open_parts(
    settings: Settings,
    observer: Observer,
    observe: Callable[[str], Observe],
    stop: asyncio.Event,
    *,
    client: str = "worker",
    observers: Mapping[str, Observer] | None = None,
    notices: Mapping[str, Notices] | None = None,
) -> AsyncIterator[Parts]:
    """Open what the roles of a process share, and close it again.

    Args:
        settings: of the process.
        observer: of what the roles share: the device.
        observe: makes the observer of a model.
        stop: set it to stop.
        client: the roles, in the producer's client id.
        observers: of single roles.
        notices: likewise.
    """
    async with AsyncExitStack() as stack:
        store = await asyncio.to_thread(open_store, settings)
        cpu = stack.enter_context(ThreadPoolExecutor(CPU_THREADS, thread_name_prefix="cpu"))
        in_thread = stack.enter_context(threads(STORE_THREADS, "store"))
        fetcher = await stack.enter_async_context(Fetcher(settings, store, in_thread=in_thread))
        sender = await stack.enter_async_context(
            open_producer(settings, client=client, patience_s=BROKER_PATIENCE_S, stop=stop)
        )
        await hold_patiently(settings, store, sender, in_thread, stop, patience_s=BROKER_PATIENCE_S)
        looking = await stack.enter_async_context(open_consumer(settings, client=client))
        pinned = PinnedSender(sender, Pins(store, _topic_now(looking), time.monotonic))
        device = await stack.enter_async_context(Device(observer=observer, limit_s=settings.device_seconds))
        engine = Engine(device, cpu, observer=observer, classify=classify_kafka)
        models = Models(settings, observe)
        yield Parts(
            settings, store, pinned, engine, models, fetcher, stop, in_thread, looking, observers or {}, notices or {}
        )


def _topic_now(consumer: PlainConsumer) -> Callable[[str], Awaitable[TopicNow]]:
    async def look(topic: str) -> TopicNow:
        return TopicNow(await consumer.topic_id(topic), len(await consumer.partitions(topic)))

    return look


async def loaded(load: Callable[[], T], limit_s: float = LOAD_S) -> T:
    """A model, loaded and warmed up in a thread. Raises `Fatal` where that never ends: the role would never be ready."""
    loading = asyncio.get_running_loop().run_in_executor(None, load)
    await asyncio.wait([loading], timeout=limit_s)
    if not loading.done():
        loading.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise Fatal(f"a model has not been loaded and warmed up in {limit_s:.0f} s: the device hangs")
    return loading.result()


async def run_enrich(parts: Parts, ready: Ready) -> None:
    """`catalog.uploads` → `catalog.items`."""
    detector = await loaded(lambda: parts.models.detector)
    encoder = await loaded(lambda: parts.models.image_encoder)
    order = KeyOrder(KafkaLog(parts.looking, topics.UPLOADS), parts.notices_of("enrich"), now=time.monotonic)
    role = Enrich(
        store=parts.store,
        fetcher=parts.fetcher,
        detector=detector,
        encoder=encoder,
        memo=Memo(parts.store, "enrich", memo_fingerprint(detector, encoder), in_thread=parts.in_thread),
        limits=parts.limits,
        batch_items=parts.settings.batch_items,
        batch_wait_s=parts.settings.batch_wait_ms / 1000,
        remote_s=2 * parts.settings.fetch_seconds,
        keep_metadata=parts.settings.keep_photo_metadata,
        check_place=Positions(parts.settings).check,
        order=order.place,
        in_thread=parts.in_thread,
    )
    pipeline = Pipeline(
        "enrich",
        role.stages(),
        publish=publisher(parts.sender, stage="enrich", topic=topics.ITEMS),
        dead_letter=dead_letters(parts.sender),
        admission=parts.credits(),
        engine=parts.engine_of("enrich"),
        charge=reserve.charge(parts.settings.max_image_bytes, SERVING_SIDE),
    )
    letters = watch_letters(parts.settings, parts.engine_of("enrich").observer.open_letters)
    await _beside(letters, _consume(parts, "enrich", topics.UPLOADS, pipeline, ready))


async def run_caption(parts: Parts, ready: Ready) -> None:
    """`catalog.items` → `catalog.captions`."""
    writer = await loaded(lambda: parts.models.writer)
    policies = policies_of(parts.settings.facet_policy)
    neighbourhood = Neighbourhood(policies.voted())
    votes = await asyncio.to_thread(calibrations, parts.settings)
    role = Captioner(
        writer=writer,
        neighbourhood=neighbourhood,
        # Other votes and policies make other evidence, and other captions.
        memo=Memo(parts.store, "caption", f"{writer.fingerprint} {votes} {policies}", in_thread=parts.in_thread),
        calibration=votes,
        batch_items=parts.settings.batch_items,
        batch_wait_s=CAPTION_WAIT_S,
        policies=policies,
        rules=await asyncio.to_thread(hold_rules, parts.settings.hold_rules),
        publish_neighbours=parts.settings.publish_neighbours,
    )
    observer = parts.engine_of("caption").observer

    def published(outcome: Outcome) -> None:
        if isinstance(outcome, Caption):
            observer.captioned(outcome.writer)

    pipeline = Pipeline(
        "caption",
        role.stages(),
        publish=publisher(parts.sender, stage="caption", topic=topics.CAPTIONS, published=published),
        dead_letter=dead_letters(parts.sender),
        admission=parts.credits(),
        engine=parts.engine_of("caption"),
    )
    async with Reader(parts.settings, topics.ITEMS, client="caption") as items:
        # Without the neighbours that are there already, the first captions would know less than they could.
        async for raw in items.to_end():
            neighbourhood.apply(raw)

        async def feed() -> None:
            async for raw in items.follow():
                neighbourhood.apply(raw)

        await _beside(feed(), _consume(parts, "caption", topics.ITEMS, pipeline, ready))


async def run_compose(parts: Parts, ready: Ready) -> None:
    """`search.queries` → `search.probes` → `search.hits` → `search.results`."""
    images = await loaded(lambda: parts.models.image_encoder)
    texts = await loaded(lambda: parts.models.text_encoder)
    observer = parts.engine_of("compose").observer

    async def send(probe: Probe) -> None:
        spec, key = topics.BY_NAME[topics.PROBES], probe.query_id.encode()
        now = rfc3339(round(time.time() * 1000))
        # The id of a probe derives from its query: the answers to both copies of one have the same ids.
        headers = ce_headers(
            id=probe.query_id, type=spec.event_type, source="weft/compose", time=now, content_type=spec.content_type
        )
        await (await parts.sender.send(topics.PROBES, key=key, value=codecs.encode(probe), headers=headers))

    async def publish(message: Message, result: Result) -> None:
        headers = output_headers(message, stage="compose", topic=topics.RESULTS)
        key = result.query_id.encode()
        await (await parts.sender.send(topics.RESULTS, key=key, value=codecs.encode(result), headers=headers))
        observer.answered("" if result.error is None else result.error.code, partial=result.partial)

    pending = PendingQueries(send, time.time, observer.worked)
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
        relative=parts.store.relative,
    )

    async def keep_house() -> None:
        await query_photos.keep_house(
            parts.store,
            hours=parts.settings.query_photo_hours,
            now=time.time,
            sleep=asyncio.sleep,
            in_thread=parts.in_thread,
        )

    async def nothing_left(_message: Message, _result: object) -> tuple[()]:
        return ()  # the result left from the stage `answer`

    pipeline = Pipeline(
        "compose",
        role.stages(),
        publish=nothing_left,
        dead_letter=role.failed,
        admission=parts.credits(),
        engine=parts.engine_of("compose"),
        priority="query",
        charge=reserve.charge(parts.settings.max_image_bytes, QUERY_SIDE),
    )
    async with Reader(parts.settings, topics.HITS, from_end=True, client="compose") as hits:

        async def deliver() -> None:
            async for raw in hits.follow():
                if raw.value is not None:
                    try:
                        pending.deliver(codecs.decode_answer(raw.value))
                    except Poison:
                        continue  # not one of ours: whoever asked will see a shard missing

        consuming = _consume(parts, "compose", topics.QUERIES, pipeline, ready)
        await _beside(deliver(), _beside(keep_house(), consuming))


async def run_index(parts: Parts, ready: Ready) -> None:
    """`catalog.items` → the shards; `search.probes` → `search.hits`."""
    config = IndexConfig(
        owner=f"{socket.gethostname()}-{uuid.uuid4().hex}", snapshot_seconds=parts.settings.snapshot_seconds
    )
    role = IndexRole(
        config,
        store=parts.store,
        sender=parts.sender,
        dead_letter=dead_letters(parts.sender),
        settings=parts.settings,
        observer=parts.engine_of("index").observer,
        ready=lambda: ready("index"),
        in_thread=parts.in_thread,
    )
    await role.run(parts.stop)


RUN: dict[str, Callable[[Parts, Ready], Coroutine[Any, Any, None]]] = {
    "enrich": run_enrich,
    "caption": run_caption,
    "index": run_index,
    "compose": run_compose,
}


async def _consume(parts: Parts, role: str, topic: str, pipeline: Pipeline[Any], ready: Ready) -> None:
    """Run the pipeline until `parts.stop`; say when the group was joined."""
    joined = asyncio.Event()
    # Whoever asked does not wait any more; for everything else somebody may look.
    letter = None if topic == topics.QUERIES else lost_letters(dead_letters(parts.sender))

    async def announce() -> None:
        await joined.wait()
        ready(role)

    async with asyncio.TaskGroup() as tasks:
        announcing = tasks.create_task(announce(), name=f"{role}:announce")
        await consume(
            [topic],
            f"weft-{role}",
            pipeline,
            settings=parts.settings,
            stop=parts.stop,
            ready=joined,
            observer=parts.engine_of(role).observer,
            drain_s=parts.settings.drain_seconds,
            told=telling(parts.notices_of(role), letter),
        )
        announcing.cancel()


async def _beside(feed: Awaitable[None], work: Awaitable[None]) -> None:
    """Run `feed` until `work` is done; when either fails, both end and the failure is raised."""

    async def endless() -> None:
        await feed

    async with asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(endless())
        await work
        feeding.cancel()
