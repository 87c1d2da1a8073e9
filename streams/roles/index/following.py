"""A further generation: its shards of the partitions that this worker has, read by a consumer of its own.

The group deals out the partitions of `catalog.items`; whoever has one holds it for every generation, so that a worker
answers for a product in all of them, or in none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

from aiokafka.errors import IllegalStateError, KafkaError, OffsetOutOfRangeError

from index_sync.recovery import LogBounds
from index_sync.snapshot import Fenced
from infra.logs import logger
from infra.settings import Settings
from processors.errors import Retryable
from streams.contract import topics
from streams.contract.records import Generation
from streams.engine.message import REACHED, Message
from streams.kafka.consumer import PlainConsumer, open_consumer
from streams.kafka.pace import SEARCH_S
from streams.roles.index.bounds import bounds_of
from streams.roles.index.precedence import in_slices
from streams.roles.index.reading import BATCH, POLL_S
from streams.roles.index.shards import OwnedShard
from streams.roles.index.trouble import Patience

log = logger("weft.index")

LAST_SNAPSHOT_SECONDS = 15.0


class Keeper(Protocol):
    """Of the shards of one generation: `ShardOwner`, or a standby's, which writes nothing."""

    async def take_over(
        self,
        partition: int,
        bounds: LogBounds,
        wanted: Callable[[], bool],
        between: Callable[[], None] | None = None,
    ) -> OwnedShard | None: ...

    async def apply(self, held: OwnedShard, messages: Sequence[Message], next_offset: int) -> None: ...

    async def release(self, held: OwnedShard, *, patience: float) -> None: ...

    def forget_parked(self, keep: set[int]) -> None: ...


class Following:
    """Holds and follows one generation, until `end` or until the worker stops.

    Args:
        made: what the generation is made of.
        keeper: of its shards.
        settings: where Kafka is.
        patience: between attempts at what is away.
        arrived: told of every shard that has come.
        assigned: partition → token of its assignment, as the group deals it.
        worked: told that something was done.
        give_way: awaited between two slices of records, told how long the last one took; None: nobody has precedence.
        give_way_in_thread: called in a thread between two pieces of restoring a shard.
    """

    def __init__(
        self,
        made: Generation,
        keeper: Keeper,
        settings: Settings,
        patience: Patience,
        arrived: Callable[[OwnedShard], Awaitable[None]],
        assigned: Callable[[], Mapping[int, object]],
        worked: Callable[[], None],
        give_way: Callable[[float], Awaitable[None]] | None = None,
        give_way_in_thread: Callable[[], None] | None = None,
    ) -> None:
        self.keeper = keeper
        self.held: dict[int, OwnedShard] = {}
        self.made, self._settings, self._patience = made, settings, patience
        self._reads: set[int] = set()
        self._arrived, self._assigned, self._worked = arrived, assigned, worked
        self._give_way, self._give_way_in_thread = give_way, give_way_in_thread
        self._tokens: dict[int, object] = {}
        self._ended = asyncio.Event()
        self._own = made.items != topics.ITEMS

    @property
    def recovering(self) -> int:
        """How many shards are assigned, and not held yet."""
        return len(self._assigned().keys() - self.held.keys())

    async def end(self) -> None:
        """The generation was dropped: let go of it, without a last snapshot."""
        self._ended.set()
        for held in list(self.held.values()):
            async with held.applying:
                held.released = True
                held.wake()
        self.held.clear()

    async def release_all(self) -> None:
        """The group deals anew: finish, save and let go of every shard."""
        await asyncio.gather(*(self._release(held) for held in list(self.held.values())))

    async def run(self, stop: asyncio.Event) -> None:
        """Follow the topic until `stop` is set or `end` was called."""
        attempt = 0
        while not (stop.is_set() or self._ended.is_set()):
            try:
                async with open_consumer(self._settings, client="index", start="none", pace_s=SEARCH_S) as consumer:
                    await self._follow(consumer, stop)
            except (KafkaError, Retryable, OSError) as error:
                attempt += 1
                await self._patience.wait_or_raise("items", error, attempt)

    async def _follow(self, consumer: PlainConsumer, stop: asyncio.Event) -> None:
        await self._assign(consumer)  # shards that are held since an earlier connection
        while not (stop.is_set() or self._ended.is_set()):
            await self._reconcile(consumer)
            if not self.held:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await stop.wait()
                continue
            try:
                messages = await consumer.poll(POLL_S, max_records=BATCH)
            except OffsetOutOfRangeError as error:
                await self._start_over([address.partition for address in error.args[0]])
                continue
            await self._apply(consumer, messages)

    # ------------------------------------------------------------------ partitions

    async def _reconcile(self, consumer: PlainConsumer) -> None:
        """Take over what the group gave us, and let go of what it took."""
        assigned = dict(self._assigned())
        changed = False
        for held in list(self.held.values()):
            if assigned.get(held.partition) is not self._tokens.get(held.partition):
                await self._release(held)
                changed = True
        self.keeper.forget_parked(set(assigned))
        clock = asyncio.get_running_loop().time
        for partition, token in assigned.items():
            if partition not in self.held:
                started = clock()
                changed |= await self._take_over(consumer, partition, token)
                if self._give_way is not None:  # to restore a shard holds up searches as applying its records does
                    await self._give_way(clock() - started)
        if changed or self.held.keys() != self._reads:  # a standby's copy was taken out
            await self._assign(consumer)

    async def _take_over(self, consumer: PlainConsumer, partition: int, token: object) -> bool:
        def wanted() -> bool:
            return self._assigned().get(partition) is token and not self._ended.is_set()

        place = (self.made.items, partition)
        begin = self.made.begins.get(str(partition), 0)
        bounds = await bounds_of(consumer, place, wanted, self._patience, begin)
        held = (
            None if bounds is None else await self.keeper.take_over(partition, bounds, wanted, self._give_way_in_thread)
        )
        if held is None or not wanted():
            return False
        held.target = min(held.target, self.made.ends.get(str(partition), held.target))
        if self._own and held.source_next is None:
            # What was there when it was begun is in, or was left out on purpose; the records say what is since.
            held.source_next = self.made.follows.get(str(partition), 0)
        self._tokens[partition] = token
        self.held[partition] = held
        self._worked()
        await self._arrived(held)
        return True

    async def _assign(self, consumer: PlainConsumer) -> None:
        positions = {}
        for held in self.held.values():
            at = held.shard.next_offset
            if held.shard.untyped and held.reads_from is not None:
                at = held.reads_from  # its typed columns are taken from the records
            if self._own and at:
                # The last record says how far `catalog.items` is in; to apply it again changes nothing.
                low, _ = await consumer.bounds((self.made.items, held.partition))
                at = max(at - 1, low)
            positions[self.made.items, held.partition] = at
        self._reads = set(self.held)
        if positions:
            await consumer.assign(positions)

    async def _start_over(self, partitions: Sequence[int]) -> None:
        """The log does not have our offset any more: recover, which rebuilds."""
        log.warning("offsets out of range, shards start over", generation=self.made.generation, partitions=partitions)
        for partition in partitions:
            held = self.held.pop(partition, None)
            if held is not None:
                held.released = True
                held.wake()

    async def _release(self, held: OwnedShard) -> None:
        if self.held.get(held.partition) is held:
            del self.held[held.partition]
        await self.keeper.release(held, patience=LAST_SNAPSHOT_SECONDS)

    # ------------------------------------------------------------------ records

    async def _apply(self, consumer: PlainConsumer, messages: Sequence[Message]) -> None:
        batches: dict[int, list[Message]] = {}
        for message in messages:
            if message.offset < self.made.ends.get(str(message.partition), message.offset + 1):
                batches.setdefault(message.partition, []).append(message)
        for held in list(self.held.values()):
            batch = batches.get(held.partition, [])
            try:
                position = await consumer.position((self.made.items, held.partition))
            except (IllegalStateError, KafkaError):
                continue
            if self.held.get(held.partition) is not held:
                continue
            position = min(position, self.made.ends.get(str(held.partition), position))
            gap = position >= held.shard.next_offset if held.shard.untyped else position > held.shard.next_offset
            if batch or gap:
                with suppress(Fenced):
                    await in_slices(partial(self.keeper.apply, held), batch, position, self._give_way)
                self._reached(held, batch)
                self._worked()

    def _reached(self, held: OwnedShard, batch: Sequence[Message]) -> None:
        if held.source_next is None:
            return
        for message in batch:
            said = message.header(REACHED) or b""
            if said.isdigit():
                held.source_next = max(held.source_next, int(said) + 1)
        held.wake()
