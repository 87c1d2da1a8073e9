"""How the role `caption` tells of a writer behind a server, and has captions written again that were written while it was away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from infra.logs import logger
from infra.settings import Settings
from models.ports import Remote
from models.served.writer import ServedWriter
from processors.errors import Retryable
from streams.contract import topics
from streams.engine.message import Message
from streams.kafka.client import Reader
from streams.kafka.consumer import PlainConsumer, open_consumer
from streams.kafka.faust.reader import Watcher
from streams.kafka.pace import BESIDE_S
from streams.roles.caption.mending import LOOK_S, Fallen, Items, Mending, Told
from streams.wiring.parts import Parts

log = logger("weft.caption")

PAUSE_S = 5.0
AT_POLLS, AT_POLL_S = 10, 0.5
"""How often, and how long each time, a single record is waited for."""


class Held:
    """The partitions that a worker holds; a `Watcher` that tells on."""

    def __init__(self) -> None:
        self.partitions: set[int] = set()
        self._then: Watcher | None = None

    def before(self, then: Watcher) -> Held:
        """Told of the same from now on; of what is read anew nothing is held yet."""
        self._then, self.partitions = then, set()
        return self

    def begin(self, starts: Mapping[tuple[str, int], int]) -> None:
        """See `Watcher`."""
        self.partitions |= {partition for _, partition in starts}
        if self._then is not None:
            self._then.begin(starts)

    def revoked(self, places: Iterable[tuple[str, int]]) -> None:
        """See `Watcher`."""
        gone = list(places)
        self.partitions -= {partition for _, partition in gone}
        if self._then is not None:
            self._then.revoked(gone)


class KafkaItems:
    """`streams.roles.caption.mending.Items` on Kafka.

    Args:
        reader: open, standing where the partitions begin that are wanted, and behind all others.
        single: a consumer of its own, for single records.
    """

    def __init__(self, reader: Reader, single: PlainConsumer) -> None:
        self._reader, self._single = reader, single

    def to_end(self) -> AsyncIterator[Message]:
        return self._reader.to_end()

    def follow(self) -> AsyncIterator[Message]:
        return self._reader.follow()

    async def at(self, partition: int, offset: int) -> Message | None:
        await self._single.assign({(topics.ITEMS, partition): offset})
        for _ in range(AT_POLLS):
            try:
                found = await self._single.poll(AT_POLL_S, max_records=1)
            except OffsetOutOfRangeError:
                return None
            if found:
                return found[0] if found[0].offset == offset else None
        return None


@asynccontextmanager
async def items_of(settings: Settings, held: Collection[int]) -> AsyncIterator[Items]:
    """The items of these partitions, from their beginning."""
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(Reader(settings, topics.ITEMS, client="caption", pace_s=BESIDE_S))
        single = await stack.enter_async_context(open_consumer(settings, client="caption"))
        ends = await reader.ends()
        await reader.read_from({partition: end for partition, end in ends.items() if partition not in held})
        yield KafkaItems(reader, single)


async def keep_mended(parts: Parts, writer: ServedWriter, held: Held) -> None:
    """Tell of the server, and mend what was written without it, for ever."""
    observer, fallen = parts.engine_of("caption").observer, Fallen()
    options = writer.options
    mending = Mending(
        fallen,
        partial(items_of, parts.settings),
        parts.sender,
        answers=lambda: not writer.trouble,
        held=lambda: held.partitions,
        a_minute=options.rewrites_per_minute,
        # What is new is written beside it.
        at_once=max(1, options.concurrency // 2),
        now=time.monotonic,
        told=observer.fallen,
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(tell(parts, writer, "caption"), name="caption:server")
        tasks.create_task(_patiently(partial(_follow, parts, fallen)), name="caption:fallen")
        tasks.create_task(_patiently(mending.run), name="caption:mending")


async def tell(parts: Parts, model: Remote, role: str) -> None:
    """Show in `/healthz` of a role why the server is not asked, for ever."""
    notices = parts.notices_of(role)
    told = Told(notices.trouble, notices.settled)
    while True:
        told.look(model.trouble)
        await asyncio.sleep(LOOK_S)


async def _follow(parts: Parts, fallen: Fallen) -> None:
    async with Reader(parts.settings, topics.CAPTIONS, client="caption") as captions:
        async for record in captions.follow():
            fallen.apply(record)


async def _patiently(work: Callable[[], Awaitable[None]]) -> None:
    """Begin anew when the broker was away."""
    while True:
        try:
            await work()
        except* (KafkaError, Retryable, OSError) as group:
            log.warning("captions.not_mended", cause=str(group.exceptions[0]))
        await asyncio.sleep(PAUSE_S)
