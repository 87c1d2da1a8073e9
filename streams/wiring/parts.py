"""What the roles of a process share, and what a role is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from infra.fetch import Fetcher
from infra.settings import Settings
from infra.store import ObjectStore
from infra.stores import open_store
from infra.threads import STORE_THREADS, InThread, threads
from processors.decode import DecodeLimits
from processors.errors import Fatal
from streams.contract import topics
from streams.engine.attempts import Engine
from streams.engine.credits import Credits
from streams.engine.device import Device
from streams.engine.observer import Observer
from streams.engine.pipeline import Pipeline
from streams.kafka.consumer import PlainConsumer, open_consumer
from streams.kafka.dead_letters import dead_letters, lost_letters
from streams.kafka.faust.app import consume
from streams.kafka.faust.reader import Watcher
from streams.kafka.notices import Notices, NullNotices, telling
from streams.kafka.pins import PinnedSender, Pins, TopicNow
from streams.kafka.producer import Sender, classify_kafka, open_producer
from streams.kafka.store_claim import hold_patiently
from streams.roles.standing import Standing
from streams.wiring.models import Models

T = TypeVar("T")

CPU_THREADS = 4
LOAD_S = 1800.0
"""Longest time to load a model and to run it once: the first time its base is unpacked and converted, on a slow disk."""
BROKER_PATIENCE_S = 120.0
"""A broker that is being started again is waited for."""


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

    def credits(self, items: int = 1024) -> Credits:
        """The memory of one role's pipeline. `items`: messages in it, at most."""
        return Credits(self.settings.credit_bytes, items=items)


@asynccontextmanager
async def open_parts(
    settings: Settings,
    observer: Observer,
    models: Models,
    stop: asyncio.Event,
    *,
    patience_s: float = BROKER_PATIENCE_S,
    client: str = "worker",
    observers: Mapping[str, Observer] | None = None,
    notices: Mapping[str, Notices] | None = None,
) -> AsyncIterator[Parts]:
    """Open what the roles of a process share, and close it again.

    Args:
        settings: of the process.
        observer: of what the roles share: the device.
        models: of the process.
        stop: set it to stop.
        patience_s: how long a broker, and then a store, that does not answer is waited for.
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
            open_producer(settings, client=client, patience_s=patience_s, stop=stop)
        )
        await hold_patiently(settings, store, sender, in_thread, stop, patience_s=patience_s)
        looking = await stack.enter_async_context(open_consumer(settings, client=client))
        pinned = PinnedSender(sender, Pins(store, topic_now(looking), time.monotonic))
        device = await stack.enter_async_context(Device(observer=observer, limit_s=settings.device_seconds))
        engine = Engine(device, cpu, observer=observer, classify=classify_kafka)
        yield Parts(
            settings, store, pinned, engine, models, fetcher, stop, in_thread, looking, observers or {}, notices or {}
        )


def topic_now(consumer: PlainConsumer) -> Callable[[str], Awaitable[TopicNow]]:
    """What `Pins` asks of the broker."""

    async def look(topic: str) -> TopicNow:
        return TopicNow(await consumer.topic_id(topic), len(await consumer.partitions(topic)))

    return look


def standing_of(parts: Parts, stage: str, topic: str, *, remembered: int = 0) -> Standing | None:
    """What stands on a topic of this stage; None where what is unchanged is to be published again. `remembered`: see `Standing`."""
    if parts.settings.unchanged == "publish":
        return None

    async def generation() -> str:
        return await parts.looking.topic_id(topic)

    return Standing(parts.store, stage, generation, parts.in_thread, remembered=remembered)


Ready = Callable[[str], None]
"""Called with the role's name once it takes work."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role as wiring sees it. What it reads and writes stands in the one table of topics, under its name.

    Args:
        name: as in `weft worker NAME`, in metrics, and in the table of topics.
        run: builds the role of what the process shares, and runs it until `Parts.stop`; calls `Ready` once it takes work.
        models: what it asks of `Models`, in this order: they are loaded while the rest of the process begins.
    """

    name: str
    run: Callable[[Parts, Ready], Coroutine[Any, Any, None]]
    models: tuple[str, ...] = ()

    @property
    def reads(self) -> tuple[str, ...]:
        """The topics that it consumes."""
        return topics.read_by(self.name)

    @property
    def writes(self) -> tuple[str, ...]:
        """The topics that it publishes to."""
        return topics.written_by(self.name)


async def loaded(load: Callable[[], T], limit_s: float = LOAD_S) -> T:
    """A model, loaded and warmed up in a thread. Raises `Fatal` where that never ends: the role would never be ready."""
    loading = asyncio.get_running_loop().run_in_executor(None, load)
    await asyncio.wait([loading], timeout=limit_s)
    if not loading.done():
        loading.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise Fatal(f"a model has not been loaded and warmed up in {limit_s:.0f} s: the device hangs")
    return loading.result()


@dataclass(frozen=True, slots=True)
class Dealt:
    """A watcher that tells `anew` of each deal of the group, too."""

    watcher: Watcher
    anew: Callable[[], None]

    def begin(self, starts: Mapping[tuple[str, int], int]) -> None:
        """See `Watcher`."""
        self.anew()
        self.watcher.begin(starts)

    def revoked(self, places: Iterable[tuple[str, int]]) -> None:
        """See `Watcher`."""
        self.anew()
        self.watcher.revoked(places)


async def consume_group(
    parts: Parts,
    role: str,
    topic: str,
    pipeline: Pipeline[Any],
    ready: Ready,
    watcher: Watcher | None = None,
    group: str = "",
    *,
    letters: bool = True,
    pace_s: float = 0.0,
) -> None:
    """Run the pipeline until `parts.stop`; say when the group was joined. `watcher`: told which partitions are held. `group`: other
    than the role's. `letters`: whether records that were lost unread become dead letters. `pace_s`: see `streams.kafka.pace`.
    """
    joined = asyncio.Event()
    # Whoever asked does not wait any more; for everything else somebody may look.
    nobody = topic in {topics.QUERIES, topics.EDIT_REQUESTS} or not letters
    letter = None if nobody else lost_letters(dead_letters(parts.sender))

    async def announce() -> None:
        await joined.wait()
        ready(role)

    async with asyncio.TaskGroup() as tasks:
        announcing = tasks.create_task(announce(), name=f"{role}:announce")
        await consume(
            [topic],
            group or f"weft-{role}",
            pipeline,
            settings=parts.settings,
            stop=parts.stop,
            ready=joined,
            observer=parts.engine_of(role).observer,
            drain_s=parts.settings.drain_seconds,
            told=telling(parts.notices_of(role), letter),
            watcher=watcher,
            pace_s=pace_s,
        )
        announcing.cancel()


async def beside(feed: Awaitable[None], work: Awaitable[None]) -> None:
    """Run `feed` until `work` is done; when either fails, both end and the failure is raised."""

    async def endless() -> None:
        await feed

    async with asyncio.TaskGroup() as tasks:
        feeding = tasks.create_task(endless())
        await work
        feeding.cancel()
