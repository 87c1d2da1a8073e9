"""`index`: items become searchable, probes become hits. Read it from top to bottom:

    assigned → recover each shard → seek → apply batches        (items: the group deals out the partitions)
    probe → search each shard held here → hits                  (probes: every worker reads them all)

An offset of this group says nothing but lag: where a shard goes on is written in its own snapshot.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from index_sync.recovery import LogBounds
from index_sync.snapshot import Fenced
from infra.store import ObjectStore
from infra.threads import InThread
from processors.errors import Fatal, Retryable
from streams.contract import topics
from streams.engine.backoff import Backoff
from streams.engine.failures import Failure
from streams.engine.lanes import DeadLetter
from streams.engine.message import Message
from streams.engine.observer import Observer
from streams.kafka.lenient_records import read_any_header_name
from streams.kafka.names import AS_THEY_ARE, Names
from streams.kafka.options import ISOLATION, METADATA_MS
from streams.kafka.producer import Sender, classify_kafka
from streams.roles.index.probes import ProbeDesk, seek_probes
from streams.roles.index.shards import Held, IndexConfig, Keeper

__all__ = ["IndexConfig", "IndexRole"]

log = structlog.get_logger("weft.index")

POLL_MS = 200
BATCH = 1000
LAST_SNAPSHOT_SECONDS = 15.0
STUCK_SECONDS = 5.0
ASK_SECONDS = 60.0


class IndexRole:
    """An index worker. `run` returns after `stop` is set and everything is saved; it raises what must end the process.

    Args:
        config: of the worker.
        store: for snapshots.
        sender: for hits.
        dead_letter: for items that can never be indexed.
        kafka: connection options of the consumers (`streams.kafka.options`).
        names: what topics and the group are called on the cluster.
        observer: metrics.
        now: seconds since the epoch.
        ready: called once, when all shards of the first assignment hold what their partitions held then.
        in_thread: runs what waits for the store.
    """

    def __init__(
        self,
        config: IndexConfig,
        *,
        store: ObjectStore,
        sender: Sender,
        dead_letter: DeadLetter,
        kafka: Mapping[str, Any],
        names: Names = AS_THEY_ARE,
        observer: Observer,
        now: Callable[[], float] = time.time,
        ready: Callable[[], None] = lambda: None,
        in_thread: InThread = asyncio.to_thread,
    ) -> None:
        self._config = config
        self._sender = sender
        self._dead_letter = dead_letter
        self._kafka = dict(kafka)
        self._names = names
        self._topic = names.topic(topics.ITEMS)
        self._observer = observer
        self._now = now
        self._ready: Callable[[], None] | None = ready
        self._backoff = Backoff()
        # One thread each: a shard has one writer, and searches do not compete with each other for the cores.
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="index-write")
        self._searching = ThreadPoolExecutor(1, thread_name_prefix="index-search")
        self._keeper = Keeper(config, store, self._writing, self._bury, observer, now, self._backoff, in_thread)
        self._held: dict[int, Held] = {}
        self._assigned: dict[int, object] = {}  # partition -> token of this assignment
        self._dealt = False
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        self._stop = stop
        try:
            async with AsyncExitStack() as opened:
                items = await self._connect(self._names.group(self._config.group), opened)
                probes = await self._connect(None, opened)
                if items is not None and probes is not None:
                    await self._serve(items, probes)
        except BaseExceptionGroup as group:
            raise _first(group) from group
        finally:
            self._writing.shutdown(wait=False, cancel_futures=True)
            self._searching.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, items: Any, probes: Any) -> None:
        async with asyncio.TaskGroup() as tasks:
            desk = ProbeDesk(self._config, self._searching, self._sender, self._bury, self._observer, self._now, tasks)
            hands = _Hands(items, desk, tasks)
            items.subscribe([self._topic], listener=_Listener(self, hands))
            await asyncio.gather(
                self._follow_items(hands), self._follow_probes(probes, desk), self._save_now_and_then(items)
            )
            # Waiters for an offset end with this; take-overs in progress end with their current attempt.
            await self.revoked()

    # ------------------------------------------------------------------ items

    async def _follow_items(self, hands: _Hands) -> None:
        consumer = hands.consumer
        attempt = 0
        while not self._stop.is_set():
            try:
                # Without the limit a group that is never dealt (broker away) would hold up the shutdown.
                async with asyncio.timeout(STUCK_SECONDS):
                    batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH)
                attempt = 0
            except TimeoutError:
                continue
            except OffsetOutOfRangeError as error:
                self._lost(hands, error)
                continue
            except NoOffsetForPartitionError:
                continue  # before the seek of a take-over
            except KafkaError as error:
                attempt += 1
                await self._wait_or_raise("items", error, attempt)
                continue
            # No pause since the consumer gave the records out: they belong to the shards held now. What was read
            # before a shard's seek came while it was not held, and is read again.
            for held in list(self._held.values()):
                address = TopicPartition(self._topic, held.partition)
                messages = [_message(record, self._names) for record in batches.get(address, ())]
                position = await self._position(consumer, address, held)
                if messages or position > held.shard.next_offset:
                    await self._keeper.apply(held, messages, position)
            self._tell_ready()

    async def _position(self, consumer: Any, address: TopicPartition, held: Held) -> int:
        """Where the next read begins: past gaps at the end of the log, which hold no records to tell of them."""
        if self._held.get(held.partition) is not held:
            return 0
        try:
            position: int = await consumer.position(address)
        except (IllegalStateError, KafkaError):
            return 0
        # Revoked or sought anew while waiting: then it is no position of this shard.
        return position if self._held.get(held.partition) is held else 0

    def assigned(self, hands: _Hands, partitions: Sequence[int]) -> None:
        """The group dealt: hold every partition still until its shard is recovered."""
        if self._stop.is_set():
            return
        self._dealt = True
        self._assigned = {partition: object() for partition in partitions}
        self._keeper.forget_parked(set(partitions))
        for partition in partitions:
            self._start_over(hands, partition)

    def _start_over(self, hands: _Hands, partition: int) -> None:
        address = TopicPartition(self._topic, partition)
        hands.consumer.pause(address)
        # Without a position the consumer would look for the group's offset, which is no truth of ours.
        hands.consumer.seek(address, 0)
        hands.tasks.create_task(self._take_over(hands, address, self._assigned[partition]))

    def _lost(self, hands: _Hands, error: OffsetOutOfRangeError) -> None:
        """The log does not have our offset any more (truncated, created again): recover, which rebuilds."""
        for address in error.args[0]:
            held = self._held.pop(address.partition, None)
            if held is not None and address.partition in self._assigned:
                held.released = True
                held.wake()
                log.warning("offset out of range, shard starts over", partition=address.partition)
                self._start_over(hands, address.partition)

    async def _take_over(self, hands: _Hands, address: TopicPartition, token: object) -> None:
        def wanted() -> bool:
            return self._assigned.get(address.partition) is token

        bounds = await self._bounds(hands.consumer, address, wanted)
        held = None if bounds is None else await self._keeper.take_over(address.partition, bounds, wanted)
        if held is None or not wanted():
            return
        # From here to the end no pause: what is read after this belongs to this shard, from this offset on.
        hands.consumer.seek(address, held.shard.next_offset)
        hands.consumer.resume(address)
        self._held[address.partition] = held
        hands.desk.partitions = len(hands.consumer.partitions_for_topic(self._topic) or ())
        await hands.desk.catch_up(held)

    async def _bounds(self, consumer: Any, address: TopicPartition, wanted: Callable[[], bool]) -> LogBounds | None:
        attempt = 0
        while wanted():
            try:
                low = await consumer.beginning_offsets([address])
                end = await consumer.end_offsets([address])
                return LogBounds(low[address], end[address], first_since=_first_since(consumer, address))
            except KafkaError as error:
                attempt += 1
                await self._wait_or_raise("bounds", error, attempt)
        return None

    async def revoked(self) -> None:
        """The group deals anew: finish, save and let go of every shard."""
        self._assigned = {}
        await asyncio.gather(*(self._release(held) for held in list(self._held.values())))

    async def _release(self, held: Held) -> None:
        if self._held.get(held.partition) is held:
            del self._held[held.partition]
        await self._keeper.release(held, patience=LAST_SNAPSHOT_SECONDS)

    def _tell_ready(self) -> None:
        if self._ready is None or not self._dealt or self._held.keys() != self._assigned.keys():
            return
        if all(held.caught_up for held in self._held.values()):
            self._ready()
            self._ready = None

    # ------------------------------------------------------------------ probes

    async def _follow_probes(self, consumer: Any, desk: ProbeDesk) -> None:
        attempt = 0
        sought = False
        while not self._stop.is_set():
            try:
                if not sought:
                    since = self._now() - self._config.probe_window_seconds
                    await seek_probes(consumer, since, self._names.topic(topics.PROBES))
                    sought = True
                batches = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH)
                attempt = 0
            except KafkaError as error:
                attempt += 1
                await self._wait_or_raise("probes", error, attempt)
                continue
            for records in batches.values():
                for record in records:
                    await desk.take(_message(record, self._names), self._held.values())

    # ------------------------------------------------------------------ what goes on beside

    async def _save_now_and_then(self, consumer: Any) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.snapshot_seconds):
                    await self._stop.wait()
            for held in list(self._held.values()):
                try:
                    await self._keeper.save(held)
                except Fenced:
                    if not held.released:
                        raise
            await self._commit(consumer)

    async def _commit(self, consumer: Any) -> None:
        """Group offsets, for lag metrics and nothing else."""
        offsets = {TopicPartition(self._topic, p): held.shard.next_offset for p, held in self._held.items()}
        if not offsets:
            return
        try:
            await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError, KafkaError) as error:
            self._observer.retried("commit", type(error).__name__)

    async def _bury(self, failure: Failure) -> None:
        """Send to the dead letters, for as long as it takes: a snapshot must not pass a failure that nobody saw."""
        attempt = 0
        while True:
            try:
                for delivery in await self._dead_letter(failure):
                    await delivery
            except Exception as error:
                attempt += 1
                await self._wait_or_raise("dead-letter", error, attempt)
                if self._stop.is_set():
                    raise Fatal(
                        "stopped before a dead letter was durable; it is written after the next start"
                    ) from error
            else:
                return

    async def _wait_or_raise(self, stage: str, error: Exception, attempt: int) -> None:
        verdict = classify_kafka(error, "io")
        if isinstance(verdict, Fatal):
            raise verdict from error
        self._observer.retried(stage, type(error).__name__)
        await asyncio.sleep(self._backoff.delay(attempt))

    # ------------------------------------------------------------------ connecting

    async def _connect(self, group: str | None, opened: AsyncExitStack) -> Any:
        """A started consumer, stopped with `opened`; None when the end came first."""
        attempt = 0
        read_any_header_name()
        while not self._stop.is_set():
            consumer = AIOKafkaConsumer(
                **self._kafka,
                group_id=group,
                isolation_level=ISOLATION,
                enable_auto_commit=False,
                # Never "earliest" for items: a silent jump over lost records would leave dead products alive.
                auto_offset_reset="none" if group else "earliest",
                fetch_max_wait_ms=POLL_MS,
                max_partition_fetch_bytes=4 * 2**20,
                # A topic that is created late, again, or with more partitions is seen this soon (else 5 minutes).
                metadata_max_age_ms=METADATA_MS,
            )
            try:
                await consumer.start()
            except KafkaError as error:
                await consumer.stop()
                attempt += 1
                await self._wait_or_raise("connect", error, attempt)
            else:
                opened.push_async_callback(consumer.stop)
                return consumer
        return None


@dataclass(frozen=True, slots=True)
class _Hands:
    """What a take-over needs."""

    consumer: Any
    desk: ProbeDesk
    tasks: asyncio.TaskGroup


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Hands the group's decisions to the role."""

    def __init__(self, role: IndexRole, hands: _Hands) -> None:
        self._role = role
        self._hands = hands

    async def on_partitions_revoked(self, revoked: object) -> None:  # noqa: ARG002 - eager: always all of them
        await self._role.revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self._role.assigned(self._hands, sorted(address.partition for address in assigned))


def _message(record: Any, names: Names) -> Message:
    return Message(
        names.name_of(record.topic),
        record.partition,
        record.offset,
        record.key,
        record.value,
        tuple(record.headers),
        record.timestamp,
    )


def _first_since(consumer: Any, address: TopicPartition) -> Callable[[int], int | None]:
    """Ask the broker from another thread for the first offset since a timestamp."""
    loop = asyncio.get_running_loop()

    def ask(timestamp_ms: int) -> int | None:
        asked = asyncio.run_coroutine_threadsafe(consumer.offsets_for_times({address: timestamp_ms}), loop)
        try:
            found = asked.result(ASK_SECONDS)[address]
        except (KafkaError, TimeoutError) as error:
            asked.cancel()
            raise Retryable(f"the broker did not say which record came first since {timestamp_ms}: {error}") from error
        return None if found is None else int(found.offset)

    return ask


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The exception that ends the process: a `Fatal` before any other."""
    found = list(_flat(group))
    return next((error for error in found if isinstance(error, Fatal)), found[0])


def _flat(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _flat(error)
        else:
            yield error
