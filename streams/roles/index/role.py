"""`index`: items become searchable, probes become hits. Read it from top to bottom:

    assigned → recover each shard → seek → apply batches        (items: the group deals out the partitions)
    probe → search each shard held here → hits                  (probes: every worker reads them all)

An offset of this group says nothing but lag: where a shard goes on is written in its own snapshot.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from index_sync.snapshot import Fenced
from infra.logs import logger
from infra.settings import Settings
from infra.store import ObjectStore
from infra.threads import InThread
from processors.errors import Retryable
from streams.contract import topics
from streams.contract.records import Generation
from streams.engine.backoff import Backoff
from streams.engine.lanes import DeadLetter
from streams.engine.message import Message
from streams.engine.observer import Observer
from streams.kafka.consumer import PartitionId, PlainConsumer
from streams.kafka.options import METADATA_MS
from streams.kafka.pace import SEARCH_S
from streams.kafka.producer import Sender
from streams.roles.index.bounds import bounds_of
from streams.roles.index.generations import Served
from streams.roles.index.probes import ProbeAnswerer
from streams.roles.index.reading import BATCH, POLL_S, connected, follow_probes
from streams.roles.index.shards import Batch, IndexConfig, OwnedShard, ShardOwner, StoodShard
from streams.roles.index.standbys import StandbyKeeper, Standbys
from streams.roles.index.standing import ITEMS_WORK, Standing
from streams.roles.index.trouble import LastingLetters, Patience, first_of
from streams.roles.index.upkeep import Upkeep, Wanted
from streams.search.generations import FIRST

__all__ = ["IndexConfig", "IndexRole"]

log = logger("weft.index")

LAST_SNAPSHOT_SECONDS = 15.0
STUCK_SECONDS = 5.0


class IndexRole:
    """An index worker. `run` returns after `stop` is set and everything is saved; it raises what must end the process.

    Only trouble that passes (`Retryable`, as `classify_kafka` says) is waited for. Anything else that is raised here is
    a fault of ours: it ends the process, which is started again, instead of being tried again for ever.

    Args:
        config: of the worker.
        store: for snapshots.
        sender: for hits.
        dead_letter: for items that can never be indexed.
        settings: where Kafka is.
        observer: metrics.
        now: seconds since the epoch.
        ready: called once, when all shards of the first assignment hold what their partitions held then.
        in_thread: runs what waits for the store.
        upkeep: what indexes segments get; None: nothing is merged and nothing indexed.
    """

    def __init__(
        self,
        config: IndexConfig,
        *,
        store: ObjectStore,
        sender: Sender,
        dead_letter: DeadLetter,
        settings: Settings,
        observer: Observer,
        now: Callable[[], float] = time.time,
        ready: Callable[[], None] = lambda: None,
        in_thread: InThread = asyncio.to_thread,
        upkeep: Wanted | None = None,
    ) -> None:
        self._config = config
        self._in_thread, self._wanted = in_thread, upkeep
        self._sender = sender
        self._settings = settings
        self._observer = observer
        self._now = now
        self._ready: Callable[[], None] | None = ready
        backoff = Backoff()
        self._patience = Patience(observer, backoff)
        self._letters = LastingLetters(dead_letter, self._patience)
        # One thread each: a shard has one writer, and searches do not compete with each other for the cores.
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="index-write")
        self._searching = ThreadPoolExecutor(1, thread_name_prefix="index-search")

        def keeper(config: IndexConfig) -> ShardOwner:
            take_out = self._take_out if config.standbys else None
            return ShardOwner(
                config, store, self._writing, self._letters.report, observer, now, backoff, in_thread, take_out
            )

        def copies(made: Generation) -> StandbyKeeper:
            config, writing = self._served.config_of(made), self._writing
            dealt = self._is_dealt(made.generation)
            return StandbyKeeper(config, store, writing, observer, now, backoff, in_thread, dealt)

        self._make_copies = copies
        self._keeper = keeper(config)
        self._served = Served(
            config, settings, self._patience, keeper, lambda: self._assigned, lambda: observer.worked(ITEMS_WORK)
        )
        self._held: dict[int, OwnedShard] = {}
        self._assigned: dict[int, object] = {}  # partition -> token of this assignment
        self._dealt = False
        self._stop = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        self._stop = self._letters.stop = stop
        try:
            async with AsyncExitStack() as opened:
                # Never "earliest" for items: a silent jump over lost records would leave dead products alive.
                opening = opened, self._patience, stop
                items = await connected(self._settings, self._config.group, "none", SEARCH_S, *opening)
                probes = await connected(self._settings, None, "earliest", SEARCH_S, *opening)
                if items is not None and probes is not None:
                    await self._serve(items, probes)
        except BaseExceptionGroup as group:
            raise first_of(group) from group
        finally:
            self._writing.shutdown(wait=False, cancel_futures=True)
            self._searching.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, items: PlainConsumer, probes: PlainConsumer) -> None:
        async with asyncio.TaskGroup() as tasks:
            answerer = ProbeAnswerer(
                self._config,
                self._searching,
                self._sender,
                self._letters.report,
                self._observer,
                self._now,
                tasks,
                self._save,
            )
            work = _Work(items, answerer, tasks)
            standing = Standing(items, self._held, self._recovering, self._observer, self._stop)

            async def revoked(_places: Sequence[PartitionId]) -> None:
                await self.revoked()  # eager: always all of them

            items.subscribe([topics.ITEMS], assigned=lambda places: self.assigned(work, places), revoked=revoked)
            asked = follow_probes(
                probes,
                answerer,
                self._everything,
                lambda: self._served.live,
                lambda: self._now() - self._config.probe_window_seconds,
                self._patience,
                self._stop,
            )
            asking = tasks.create_task(asked, name="index:probes")
            standing_by = self._stand_by(work)
            following = tasks.create_task(
                self._served.follow(answerer, tasks, self._stop, lambda dropped: self._first_dropped(work, dropped)),
                name="index:generations",
            )
            until_stopped = [
                tasks.create_task(self._follow_items(work), name="index:items"),
                tasks.create_task(self._save_now_and_then(), name="index:snapshots"),
                tasks.create_task(standing.tell_lag(self._config.tell_seconds), name="index:lag"),
                tasks.create_task(standing.tell_health(), name="index:health"),
                tasks.create_task(self._watch_topic(work), name="index:topic"),
            ]
            if self._wanted is not None:
                upkeep = Upkeep(
                    self._wanted,
                    lambda: [held.shard for held in [*self._everything(), *self._copies()]],
                    self._observer,
                    self._in_thread,
                )
                until_stopped.append(tasks.create_task(upkeep.run(self._stop), name="index:upkeep"))
            await asyncio.wait([*until_stopped, *standing_by])
            asking.cancel()  # it may be waiting for a broker that is away
            following.cancel()
            # Waiters for an offset end with this; take-overs in progress end with their current attempt.
            await self.revoked()

    # ------------------------------------------------------------------ copies of others' shards

    def _stand_by(self, work: _Work) -> list[asyncio.Task[None]]:
        if not self._config.standbys:
            return []
        standbys = self._served.standbys = Standbys(
            self._config,
            self._settings,
            self._make_copies,
            self._patience,
            lambda: self._assigned,
            lambda: [one for keeper in self._keepers() for one in keeper.leaving.values()],
            self._now,
        )
        work.answerer.beside = standbys.take
        return [
            work.tasks.create_task(standbys.choose(work.consumer, work.answerer, self._stop), name="index:members"),
            work.tasks.create_task(standbys.listen(self._stop), name="index:answers"),
            work.tasks.create_task(standbys.answer(work.answerer, self._stop), name="index:standby"),
        ]

    def _copies(self) -> list[OwnedShard]:
        standbys = self._served.standbys
        return [] if standbys is None else list(standbys.held())

    async def _take_out(self, generation: str, partition: int) -> StoodShard | None:
        standbys = self._served.standbys
        return None if standbys is None else await standbys.take_out(generation, partition)

    def _is_dealt(self, generation: str) -> Callable[[int], bool]:
        """Whether a partition is ours now, and its shard of the generation not taken over yet."""

        def dealt(partition: int) -> bool:
            held: Mapping[int, OwnedShard] = {}
            if generation == FIRST:
                held = self._held
            elif generation in self._served.others:
                held = self._served.others[generation].held
            return partition in self._assigned and partition not in held

        return dealt

    # ------------------------------------------------------------------ items

    async def _follow_items(self, work: _Work) -> None:
        consumer = work.consumer
        attempt = 0
        while not self._stop.is_set():
            try:
                # Without the limit a group that is never dealt (broker away) would hold up the shutdown.
                async with asyncio.timeout(STUCK_SECONDS):
                    messages = await consumer.poll(POLL_S, max_records=BATCH)
                attempt = 0
            except TimeoutError:
                continue
            except OffsetOutOfRangeError as error:
                self._lost(work, error)
                continue
            except NoOffsetForPartitionError:
                continue  # before a take-over has said where to read
            except KafkaError as error:
                attempt += 1
                await self._patience.wait_or_raise("items", error, attempt)
                continue
            # No pause since the consumer gave the records out: they belong to the shards held now. What was read
            # before a shard's take-over came while it was not held, and is read again.
            batches: dict[int, list[Message]] = {}
            for message in messages:
                batches.setdefault(message.partition, []).append(message)
            read: list[Batch] = []
            for held in list(self._held.values()):
                batch = batches.get(held.partition, [])
                position = await self._position(consumer, held)
                gap = position >= held.shard.next_offset if held.shard.untyped else position > held.shard.next_offset
                if batch or gap:
                    read.append((held, batch, position))
            if read:
                await self._keeper.apply_all(read)
                self._observer.worked(ITEMS_WORK)
            self._tell_ready()

    async def _position(self, consumer: PlainConsumer, held: OwnedShard) -> int:
        """Where the next read begins: past gaps at the end of the log, which hold no records to tell of them."""
        if self._held.get(held.partition) is not held:
            return 0
        try:
            position = await consumer.position((topics.ITEMS, held.partition))
        except (IllegalStateError, KafkaError):
            return 0
        # Revoked or sought anew while waiting: then it is no position of this shard.
        return position if self._held.get(held.partition) is held else 0

    def assigned(self, work: _Work, places: Sequence[PartitionId]) -> None:
        """The group dealt: each partition, which the consumer holds still, is read once its shard is recovered."""
        if self._stop.is_set():
            return
        self._dealt = True
        self._assigned = {partition: object() for _, partition in places}
        self._keeper.forget_parked(set(self._assigned))
        for partition, token in self._assigned.items():
            work.tasks.create_task(self._take_over(work, partition, token))

    def _lost(self, work: _Work, error: OffsetOutOfRangeError) -> None:
        """The log does not have our offset any more (truncated, created again): recover, which rebuilds."""
        partitions = [address.partition for address in error.args[0]]
        log.warning("offsets out of range, shards start over", partitions=sorted(partitions))
        self._start_over(work, partitions)

    def _start_over(self, work: _Work, partitions: Sequence[int]) -> None:
        for partition in partitions:
            held = self._held.pop(partition, None)
            if held is not None and partition in self._assigned:
                held.released = True
                held.wake()
                work.consumer.hold((topics.ITEMS, partition))
                work.tasks.create_task(self._take_over(work, partition, self._assigned[partition]))

    async def _take_over(self, work: _Work, partition: int, token: object) -> None:
        def wanted() -> bool:
            return self._assigned.get(partition) is token and not self._served.first_is_dropped

        bounds = await bounds_of(work.consumer, (topics.ITEMS, partition), wanted, self._patience)
        held = None if bounds is None else await self._keeper.take_over(partition, bounds, wanted)
        if held is None or not wanted():
            return
        # From here to the end no pause: what is read after this belongs to this shard, from this offset on.
        start = held.shard.next_offset if held.reads_from is None else held.reads_from
        work.consumer.read_from((topics.ITEMS, partition), start)
        self._held[partition] = held
        self._observer.worked(ITEMS_WORK)
        work.answerer.partitions = work.consumer.known_partitions(topics.ITEMS)
        await work.answerer.catch_up(held)

    def _recovering(self) -> int:
        """How many shards are assigned, and not held yet: of the first generation and the live one.

        A candidate is not waited for: the gates of a swap ask for it, and what is wrong with its topic harms nobody else.
        """
        first = 0 if self._served.first_is_dropped else len(self._assigned.keys() - self._held.keys())
        return first + self._served.recovering

    def _keepers(self) -> list[ShardOwner]:
        return [self._keeper, *self._served.keepers.values()]

    def _everything(self) -> list[OwnedShard]:
        """The shards of all generations that are held here."""
        return [*self._held.values(), *self._served.held()]

    async def revoked(self) -> None:
        """The group deals anew: finish, save and let go of every shard."""
        self._assigned = {}
        await asyncio.gather(
            *(self._release(held) for held in list(self._held.values())),
            self._served.release_all(),
        )

    async def _release(self, held: OwnedShard) -> None:
        if self._held.get(held.partition) is held:
            del self._held[held.partition]
        await self._keeper.release(held, patience=LAST_SNAPSHOT_SECONDS)

    def _tell_ready(self) -> None:
        if self._ready is None or not self._dealt or not self._served.known or self._recovering():
            return
        if all(held.caught_up for held in self._everything() if held.shard.generation in {FIRST, self._served.live}):
            self._ready()
            self._ready = None

    # ------------------------------------------------------------------ what goes on beside

    async def _watch_topic(self, work: _Work) -> None:
        """A topic that was created again: where its offsets fit by chance, nothing else says that its records are others."""
        while not self._stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(METADATA_MS / 1000):
                    await self._stop.wait()
            try:
                now = await work.consumer.topic_id(topics.ITEMS)
            except Retryable:
                continue
            if self._served.standbys is not None and now:
                self._served.standbys.start_over(now)
            # Each shard by itself: one that was taken over since holds the new topic's records already.
            others = [p for p, held in self._held.items() if now and held.topic_id and held.topic_id != now]
            if others:
                log.error("topic created again, its shards start over", topic=topics.ITEMS, partitions=sorted(others))
                self._start_over(work, others)

    async def _save_now_and_then(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._config.snapshot_seconds):
                    await self._stop.wait()
            for held in self._everything():
                try:
                    await self._save(held)
                except Fenced:
                    if not held.released:
                        raise

    async def _save(self, held: OwnedShard) -> bool:
        return await self._served.keepers.get(held.shard.generation, self._keeper).save(held)

    def _first_dropped(self, work: _Work, dropped: bool) -> None:
        """The first generation was dropped, or is there again."""
        if not dropped:
            for partition, token in self._assigned.items():
                work.tasks.create_task(self._take_over(work, partition, token))
            return
        for held in list(self._held.values()):
            held.released = True  # without a last snapshot: its objects are being removed
            held.wake()
        self._held.clear()
        self._keeper.forget_parked(set())


@dataclass(frozen=True, slots=True)
class _Work:
    """What a take-over needs."""

    consumer: PlainConsumer
    answerer: ProbeAnswerer
    tasks: asyncio.TaskGroup
