"""The shards that a worker holds: taking them over, writing to them, saving them, letting them go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from index_sync.entry import Change
from index_sync.manifest import Manifest, SnapshotLocation
from index_sync.promotion import promote
from index_sync.recovery import LogBounds, recover
from index_sync.retention import DELETE_RETENTION_SECONDS
from index_sync.shard import Shard
from index_sync.snapshot import Fenced, SnapshotWriter
from infra.logs import logger
from infra.store import ObjectStore
from infra.threads import InThread
from processors.errors import Poison, Retryable
from streams.contract import topics
from streams.contract.cloudevents import origin_ms
from streams.engine.backoff import Backoff
from streams.engine.failures import Failure, classify
from streams.engine.message import Message
from streams.engine.observer import Observer
from streams.roles.index.entries import change_of

STAGE = "index"
MOST_AGES = 64
"""Records of one batch whose age is told, evenly spread, the first among them."""
log = logger("weft.index")


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """What an index worker must know.

    Args:
        owner: unique to this worker and this run of it; names it in `CURRENT`.
        encoder: fingerprint of the only encoder whose vectors are indexed; "" takes the first that comes, per shard.
        dimension: of its vectors; 0 takes that of the first.
        collection: names the snapshots.
        generation: of the index, in answers and snapshots.
        items: the topic that the generation reads.
        group: consumer group that deals out the partitions of `catalog.items`.
        snapshot_seconds: how often a shard that changed is saved.
        tell_seconds: how often the group's offsets are committed and the lag is told; neither decides anything.
        probe_window_seconds: how far back a starting worker reads probes; longer than the longest deadline is no use.
        reserve_seconds: kept back of a probe's deadline for the way of the answer.
        segment_rows: rows of a growing segment.
        delete_retention_seconds: the topic's `delete.retention.ms` (see `index_sync.recovery`).
        standbys: how many other workers hold a copy of each shard.
    """

    owner: str
    encoder: str = ""
    dimension: int = 0
    collection: str = "catalog"
    generation: str = "g-0001"
    items: str = topics.ITEMS
    group: str = "weft-index"
    snapshot_seconds: float = 30.0
    tell_seconds: float = 5.0
    probe_window_seconds: float = 30.0
    reserve_seconds: float = 0.1
    segment_rows: int = 16_384
    delete_retention_seconds: float = DELETE_RETENTION_SECONDS
    standbys: int = 0

    def place(self, partition: int) -> SnapshotLocation:
        """Where the snapshots of a partition's shard lie."""
        return SnapshotLocation(self.collection, self.generation, self.items, partition)

    def blank(self, partition: int) -> Shard:
        """An empty shard."""
        return Shard(
            partition,
            self.encoder,
            self.dimension,
            generation=self.generation,
            segment_rows=self.segment_rows,
        )


@dataclass(slots=True, eq=False)
class OwnedShard:
    """A shard that this worker owns, or stands by for (`writer` None: nothing of it is written). `released` is set for good
    when it goes to another worker.
    """

    shard: Shard
    writer: SnapshotWriter | None
    target: int  # end of the partition when it was taken over
    topic_id: str = ""  # of the topic then, where the broker said
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    applying: asyncio.Lock = field(default_factory=asyncio.Lock)
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    released: bool = False
    reads_from: int | None = None
    """Where reading begins, if before what is searchable (`index_sync.recovery.Recovered.seek`)."""
    owing: bool = False
    """A batch is not wholly in, or a dead letter of it is not durable: a snapshot now would pass a failure that nobody
    saw. Stays set when the batch was given up (stop, fault): then the next owner reads from the snapshot before it."""
    source_next: int | None = None
    """Of a generation with items of its own: every record of `catalog.items` below it is in. None: the shard reads that."""

    @property
    def applied(self) -> int:
        """Every record of `catalog.items` below it is searchable."""
        return self.shard.next_offset if self.source_next is None else self.source_next

    @property
    def partition(self) -> int:
        return self.shard.partition

    @property
    def caught_up(self) -> bool:
        """Whether everything that was in the partition at the take-over is searchable."""
        return self.shard.next_offset >= self.target

    def wake(self) -> None:
        """Wake whoever waits for an offset or for the release."""
        self.moved.set()
        self.moved = asyncio.Event()


@dataclass(slots=True, eq=False)
class StoodShard(OwnedShard):
    """A copy of a shard that another worker owns. `base`: the snapshot that it began with; None: it began with the topic.

    `failures`: what could not be applied. The owner reports it; whoever takes the shard over does, where the owner may not
    have come to it. With too many of them the copy answers, but is not taken over (`owing`).
    """

    base: Manifest | None = None
    failures: list[Failure] = field(default_factory=list)


Batch: TypeAlias = tuple[OwnedShard, Sequence[Message], int]
"""Records of a shard, and where reading goes on."""
TakeOut: TypeAlias = Callable[[str, int], Awaitable[StoodShard | None]]
"""Of a generation and a partition: the copy that this worker holds, which nobody writes to any more; None: it holds none."""


class ShardOwner:
    """Takes shards over, applies records to them, and saves them. All blocking work runs in threads.

    Args:
        config: of the worker.
        store: for snapshots.
        writing: executor of exactly one thread: a shard has one writer.
        report: sends a failure to the dead letters; returns when it is durable.
        observer: metrics.
        now: seconds since the epoch.
        backoff: between attempts at a store that is away.
        in_thread: runs what waits for the store.
        take_out: gives out the copy that this worker holds of a shard, if it stands by for it.
    """

    def __init__(
        self,
        config: IndexConfig,
        store: ObjectStore,
        writing: Executor,
        report: Callable[[Failure], Awaitable[None]],
        observer: Observer,
        now: Callable[[], float],
        backoff: Backoff,
        in_thread: InThread = asyncio.to_thread,
        take_out: TakeOut | None = None,
    ) -> None:
        self._config = config
        self._in_thread = in_thread
        self._take_out = take_out
        self._store = store
        self._writing = writing
        self._report = report
        self._observer = observer
        self._now = now
        self._backoff = backoff
        self._parked: dict[int, OwnedShard] = {}
        self.leaving: dict[int, OwnedShard] = {}
        """With standbys: what was let go of, until it is dealt again. It answers as a standby does."""

    async def take_over(
        self,
        partition: int,
        bounds: LogBounds,
        wanted: Callable[[], bool],
        between: Callable[[], None] | None = None,
    ) -> OwnedShard | None:
        """Recover a shard, for as long as the store needs; None when it is not `wanted` any more meanwhile.

        `between` is called in a thread between pieces of this work.
        """
        attempt = 0
        while wanted():
            try:
                held = await self._recover(partition, bounds, between)
            except Retryable as error:
                attempt += 1
                self._observer.retried("recover", type(error).__name__)
                log.warning("store away, shard waits", partition=partition, cause=str(error))
                await asyncio.sleep(self._backoff.delay(attempt))
            else:
                self.leaving.pop(partition, None)
                return held
        return None

    async def _recover(self, partition: int, bounds: LogBounds, between: Callable[[], None] | None) -> OwnedShard:
        parked = self._parked.pop(partition, None)
        usable = parked is not None and bounds.low <= parked.shard.next_offset <= bounds.end
        usable = usable and parked is not None and parked.topic_id == bounds.topic_id
        if parked is not None and usable and parked.writer and await self._in_thread(parked.writer.mine):
            # Nobody claimed it while the group was dealt anew: what is in memory is as good as ever.
            again = bounds.low if parked.shard.untyped else None
            return OwnedShard(
                parked.shard,
                parked.writer,
                bounds.end,
                bounds.topic_id,
                reads_from=again,
                source_next=parked.source_next,
            )
        if (promoted := await self._promoted(partition, bounds)) is not None:
            return promoted
        started = self._now()
        config = self._config
        found = await self._in_thread(
            recover,
            self._store,
            config.place(partition),
            lambda: config.blank(partition),
            bounds,
            owner=config.owner,
            now=started,
            segment_rows=config.segment_rows,
            delete_retention_seconds=config.delete_retention_seconds,
            between=between,
        )
        log.info(
            "shard restored" if found.manifest else "shard rebuilt from the topic",
            partition=partition,
            reason=found.reason,
            refused=found.refused,
            live=found.shard.live,
            seek=found.seek,
            behind=bounds.end - found.seek,
            seconds=round(self._now() - started, 3),
        )
        return OwnedShard(found.shard, found.writer, bounds.end, bounds.topic_id, reads_from=found.seek)

    async def _promoted(self, partition: int, bounds: LogBounds) -> OwnedShard | None:
        """The copy that this worker holds of a shard, claimed; None where there is none, or it may not go on."""
        config = self._config
        stood = None if self._take_out is None else await self._take_out(config.generation, partition)
        if stood is None or stood.owing or stood.topic_id != bounds.topic_id:
            return None
        promoted = await self._in_thread(
            promote,
            self._store,
            config.place(partition),
            stood.shard,
            stood.base,
            bounds,
            owner=config.owner,
            now=self._now(),
            delete_retention_seconds=config.delete_retention_seconds,
        )
        if promoted is None:
            return None
        for failure in stood.failures:
            if failure.message.offset >= promoted.since:  # below it the owner's snapshot has passed its letter
                await self._report(failure)
        log.info("standby takes over", partition=partition, generation=config.generation, live=stood.shard.live)
        return OwnedShard(stood.shard, promoted.writer, bounds.end, bounds.topic_id, source_next=stood.source_next)

    async def apply(self, held: OwnedShard, messages: Sequence[Message], next_offset: int) -> None:
        """Make records of one shard searchable; see `apply_all`."""
        await self.apply_all([(held, messages, next_offset)])

    async def apply_all(self, batches: Sequence[Batch]) -> None:
        """Make records searchable; those that can never be go to the dead letters, before any snapshot passes them.

        One visit to the writer's thread for all shards: a visit for each takes longer than a record.
        """
        locked: list[OwnedShard] = []
        try:
            for held, _, _ in batches:
                await held.applying.acquire()
                locked.append(held)
            todo = [one for one in batches if not one[0].released]
            for held, _, _ in todo:
                held.owing = True
            loop = asyncio.get_running_loop()

            def visible(held: OwnedShard) -> None:
                loop.call_soon_threadsafe(held.wake)

            done = await loop.run_in_executor(self._writing, _apply_each, todo, loop.time, visible)
            # Whoever owes a dead letter holds up nobody else: it may take long to be durable.
            for (held, messages, _), (failures, seconds) in sorted(
                zip(todo, done, strict=True), key=lambda one: len(one[1][0])
            ):
                self._tell(messages, seconds)
                for failure in failures:
                    self._observer.failed(STAGE, type(failure.cause).__name__)
                    await self._report(failure)
                held.owing = False
                locked.remove(held)
                held.applying.release()
        finally:
            for held in locked:
                held.applying.release()

    def _tell(self, messages: Sequence[Message], seconds: float) -> None:
        if messages:
            self._observer.batch_done(STAGE, len(messages), len(messages), seconds)
            now = self._now()
            for message in messages:
                self._observer.acked(*message.source, seconds)
            # Not of the last one alone: it is the youngest. Nor of all of a backlog: to read each one's time costs a tenth of applying it.
            for message in messages[:: 1 + (len(messages) - 1) // MOST_AGES]:
                self._observer.aged(topics.ITEMS, now - origin_ms(message) / 1000)

    async def save(self, held: OwnedShard) -> bool:
        """Snapshot a shard that changed and owes no dead letter. Returns whether one was written.

        Raises:
            Fenced: another worker has claimed the shard, though this one holds it.
        """
        if held.writer is None:
            return False
        async with held.saving:
            async with held.applying:
                if held.owing:
                    log.warning("no snapshot passes a dead letter that is not written", partition=held.partition)
                    return False
                cut = held.shard.cut()
            if not held.writer.changed(cut):
                return False
            try:
                manifest = await self._in_thread(held.writer.save, cut, self._now())
                await self._in_thread(held.writer.collect)
            except Retryable as error:
                # The next period tries again with a newer cut; until then a restart replays more, nothing else.
                self._observer.retried("snapshot", type(error).__name__)
                log.warning("snapshot not stored", partition=held.partition, cause=str(error))
                return False
        log.debug("snapshot stored", partition=held.partition, offset=manifest.next_offset, live=manifest.live)
        return True

    async def release(self, held: OwnedShard, *, patience: float) -> None:
        """Let a shard go: finish the batch in progress, save, and keep it aside in case it comes back.

        Args:
            held: the shard.
            patience: seconds for the last snapshot; without it the next owner replays from an earlier one.
        """
        async with held.applying:
            held.released = True
            if self._take_out is not None:
                self.leaving[held.partition] = replace(
                    held,
                    writer=None,
                    released=False,
                    moved=asyncio.Event(),
                    applying=asyncio.Lock(),
                    saving=asyncio.Lock(),
                )
            held.wake()
        try:
            async with asyncio.timeout(patience):
                await self.save(held)
        except (TimeoutError, Fenced) as error:
            log.warning("released without a last snapshot", partition=held.partition, cause=str(error))
            return
        if held.owing:
            return  # what is in memory is past the failure, too
        self._parked[held.partition] = held

    def forget_parked(self, keep: set[int]) -> None:
        """Free the memory of shards that went to other workers."""
        for shards in (self._parked, self.leaving):
            for partition in shards.keys() - keep:
                del shards[partition]


def _apply_each(
    batches: Sequence[Batch], clock: Callable[[], float], visible: Callable[[OwnedShard], None]
) -> list[tuple[list[Failure], float]]:
    """`apply_messages` of one shard after the other, each told to `visible` at once; with the seconds of each."""
    done = []
    for held, messages, next_offset in batches:
        started = clock()
        failures = apply_messages(held.shard, messages, next_offset)
        visible(held)
        done.append((failures, clock() - started))
    return done


def apply_messages(shard: Shard, messages: Sequence[Message], next_offset: int) -> list[Failure]:
    """Decode and apply a batch, in the writer's thread; returns what can never be applied."""
    changes: list[Change] = []
    failures: list[Failure] = []
    by_offset = {message.offset: message for message in messages}
    seen: dict[str, bytes] = {}  # by product, of the last record of this batch

    def essence_of(product_id: str) -> bytes:
        return shard.essence(product_id) if product_id not in seen else seen[product_id]

    for message in messages:
        try:
            changes.append(change_of(message, essence_of))
            seen[changes[-1].product_id] = changes[-1].essence
        except Exception as error:
            # Whatever a record makes our own code raise before anything has changed is that record's fault alone.
            verdict = classify(error, "cpu")
            if not isinstance(verdict, Poison):
                raise
            failures.append(Failure(message, STAGE, verdict, 1))
    last = messages[-1].offset + 1 if messages else 0
    newest = max((message.timestamp_ms for message in messages), default=-1)
    refused = shard.apply_batch(changes, max(next_offset, last), newest)
    failures += [Failure(by_offset[r.change.offset], STAGE, r.error, 1) for r in refused]
    return failures
