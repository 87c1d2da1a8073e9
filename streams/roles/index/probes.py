"""Probes: every worker reads them all and answers for the shards that it holds."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

from aiokafka import TopicPartition

from processors.errors import Fatal, Poison
from streams.contract import codecs, topics
from streams.contract.cloudevents import output_headers
from streams.contract.records import Answer, Probe
from streams.engine.failures import Failure
from streams.engine.message import Message
from streams.engine.observer import Observer
from streams.kafka.producer import Sender, classify_kafka
from streams.roles.index.answers import answer
from streams.roles.index.shards import STAGE, Held, IndexConfig

MOST_OPEN = 10_000
"""Probes kept until their deadline, for shards that are still being recovered; the oldest give way."""
MOST_ANSWERING = 512
"""Probes answered at once; past it reading waits."""


class ProbeDesk:
    """Takes probes and answers them, each shard as soon as it is fresh enough.

    Args:
        config: of the worker.
        searching: the thread (or threads) that search.
        sender: for hits.
        bury: sends a failure to the dead letters.
        observer: metrics.
        now: seconds since the epoch.
        tasks: owns the answers in progress.
    """

    def __init__(
        self,
        config: IndexConfig,
        searching: Executor,
        sender: Sender,
        bury: Callable[[Failure], Awaitable[None]],
        observer: Observer,
        now: Callable[[], float],
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._config = config
        self._searching = searching
        self._sender = sender
        self._bury = bury
        self._observer = observer
        self._now = now
        self._tasks = tasks
        self._answering = asyncio.Semaphore(MOST_ANSWERING)
        self._open: OrderedDict[tuple[str, str], tuple[Message, Probe]] = OrderedDict()
        self.partitions = 0
        """Partitions of `catalog.items`, as far as known."""

    async def take(self, message: Message, held: Iterable[Held]) -> None:
        """A probe was read: answer it for the shards held, and keep it for those still to come."""
        shards = list(held)
        try:
            probe = codecs.decode_probe(message.value or b"")
        except Poison as error:
            self._observer.failed("probe", type(error).__name__)
            if any(shard.partition == 0 for shard in shards):  # every worker reads this probe: one of them reports it
                await self._bury(Failure(message, STAGE, error, 1))
            return
        now = self._now()
        while self._open and (len(self._open) >= MOST_OPEN or next(iter(self._open.values()))[1].deadline <= now):
            self._open.popitem(last=False)
        if probe.deadline > now:
            self._open[type(probe).__name__, probe.query_id] = (message, probe)
            await self._start(shards, message, probe)

    async def catch_up(self, held: Held) -> None:
        """A shard has come: answer for it what is still being waited for."""
        for message, probe in list(self._open.values()):
            if probe.deadline > self._now():
                await self._start([held], message, probe)

    async def _start(self, shards: Sequence[Held], message: Message, probe: Probe) -> None:
        if shards:
            await self._answering.acquire()
            task = self._tasks.create_task(self._answer(shards, message, probe))
            task.add_done_callback(lambda _: self._answering.release())

    async def _answer(self, shards: Sequence[Held], message: Message, probe: Probe) -> None:
        """Shards that are fresh enough answer at once, each other one as soon as it is, or in time for the deadline."""
        wanted = {held.partition: probe.min_offsets.get(f"{topics.ITEMS}-{held.partition}", 0) for held in shards}
        fresh = [held for held in shards if held.shard.next_offset >= wanted[held.partition]]
        stale = [held for held in shards if held not in fresh]
        await asyncio.gather(
            self._search(fresh, message, probe, wanted),
            *(self._search_when_fresh(held, message, probe, wanted) for held in stale),
        )

    async def _search_when_fresh(self, held: Held, message: Message, probe: Probe, wanted: Mapping[int, int]) -> None:
        with suppress(TimeoutError):
            left = probe.deadline - self._now() - self._config.reserve_seconds
            async with asyncio.timeout(max(left, 0.0)):
                while held.shard.next_offset < wanted[held.partition] and not held.released:
                    await held.moved.wait()
        await self._search([held], message, probe, wanted)

    async def _search(self, shards: Sequence[Held], message: Message, probe: Probe, wanted: Mapping[int, int]) -> None:
        loop = asyncio.get_running_loop()
        deliveries: list[Awaitable[object]] = []
        for held in shards:
            # A shard at a time, so that a query over many shards does not hold up the short ones behind it.
            if held.released or probe.deadline <= self._now():
                continue  # the new owner answers; or nobody listens any more
            started = loop.time()
            found = await loop.run_in_executor(
                self._searching, answer, held.shard, probe, self.partitions, wanted[held.partition]
            )
            self._observer.stage_done("search", loop.time() - started)
            deliveries.append(asyncio.ensure_future(self._publish(message, found)))
        await asyncio.gather(*deliveries)

    async def _publish(self, message: Message, found: Answer) -> None:
        headers = output_headers(message, stage=STAGE, topic=topics.HITS, number=found.partition + 1)
        key, value = found.query_id.encode(), codecs.encode(found)
        try:
            await (await self._sender.send(topics.HITS, key=key, value=value, headers=headers))
        except Exception as error:
            verdict = classify_kafka(error, "io")
            if isinstance(verdict, Fatal):
                raise verdict from error
            # Not repeated: the asker has a deadline, and takes the missing shard for a partial answer.
            self._observer.failed("hits", type(error).__name__)


async def seek_probes(consumer: Any, since: float, topic: str = topics.PROBES) -> None:
    """Begin with the probes whose deadline may lie ahead: they may have been sent before this worker was up.

    Args:
        consumer: without a group; gets all partitions of `search.probes`.
        since: seconds since the epoch.
        topic: what `search.probes` is called on the cluster.
    """
    consumer.assign([TopicPartition(topic, 0)])
    await consumer.end_offsets(consumer.assignment())  # so that the consumer knows the topic
    known = consumer.partitions_for_topic(topic) or {0}
    addresses = [TopicPartition(topic, partition) for partition in sorted(known)]
    consumer.assign(addresses)
    # The ends first: a probe that comes between the two calls is then read, not jumped over.
    ends = await consumer.end_offsets(addresses)
    found = await consumer.offsets_for_times(dict.fromkeys(addresses, int(since * 1000)))
    for address in addresses:
        at = found.get(address)
        consumer.seek(address, ends[address] if at is None else at.offset)
