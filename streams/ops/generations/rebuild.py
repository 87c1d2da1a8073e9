"""Items → index: the shards of a new generation, made of an items topic without a model, beside the live one.

A partition at a time, so that one shard is in memory; snapshots on the way, so that a replay that was killed goes on
from the last one. The index workers take the shards over when all are written, and follow the topic from there.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from index_sync.manifest import SnapshotLocation
from index_sync.recovery import LogBounds, Recovered, recover
from index_sync.shard import Shard
from infra.store import ObjectStore
from streams.contract.records import Generation
from streams.kafka.consumer import PlainConsumer
from streams.ops.generations.plan import Range
from streams.roles.index.shards import apply_messages
from streams.search.generations import COLLECTION

SAVE_S = 5.0
BATCH = 2000


class Rebuilt(msgspec.Struct, frozen=True):
    """What a replay did. `read`: records that were read now; `refused`: of these, that no index takes."""

    generation: str
    topic: str
    profile: str
    read: int
    refused: int
    live: int
    digest: str
    seconds: float
    rate: float
    ready: bool
    thought: int = 0  # products that models looked at
    known: int = 0  # products that the memo knew
    lost: int = 0  # products that could not be thought again


@dataclass(slots=True)
class Pace:
    """Tells how far a replay is, and holds it back to `rate` records a second (0: as fast as it goes)."""

    records: int
    rate: float = 0.0
    tell: Callable[[str], None] = lambda _: None
    every_s: float = 2.0
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    skipped: int = 0
    _started: float = field(init=False, default=0.0)
    _told: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._started = self._told = self.clock()

    @property
    def seconds(self) -> float:
        return self.clock() - self._started

    def skip(self, records: int) -> None:
        """So many were done by an earlier run."""
        self.skipped += records

    async def add(self, records: int) -> None:
        """So many more are done; waits where that was faster than wanted."""
        self.done += records
        now = self.clock()
        if now - self._told >= self.every_s:
            self._told = now
            self.tell(self.text())
        if self.rate > 0 and (early := self.done / self.rate - self.seconds) > 0:
            await asyncio.sleep(early)

    def text(self) -> str:
        """One line: how much is done, how fast, and how long the rest takes."""
        at, rate = self.done + self.skipped, self.done / max(self.seconds, 1e-9)
        share = at / self.records if self.records else 1.0
        left = f", {max(0, self.records - at) / rate:.0f} s left" if self.done else ""
        return f"{at:,} of {self.records:,} records ({share:.0%}), {rate:,.0f} a second{left}"


class Rebuild:
    """One replay into the shards of a generation.

    Args:
        made: the generation.
        store: for snapshots.
        consumer: of its items topic, for this alone.
        pace: told of every record.
        segment_rows: rows of a growing segment.
    """

    def __init__(
        self, made: Generation, store: ObjectStore, consumer: PlainConsumer, pace: Pace, *, segment_rows: int = 16_384
    ) -> None:
        self._made, self._store, self._consumer, self._pace = made, store, consumer, pace
        self._segment_rows = segment_rows
        self._owner = f"replay-{uuid.uuid4().hex}"
        self.read = 0
        self.refused = 0
        self.live = 0
        self._digest = 0

    @property
    def digest(self) -> str:
        """Of all shards together."""
        return f"{self._digest:032x}"

    async def run(self, ranges: tuple[Range, ...]) -> None:
        """Build every shard up to the end of its range.

        Raises:
            Fenced: another process has claimed a shard.
            Retryable: broker or store are away; what was saved stays.
        """
        topic_id = await self._consumer.topic_id(self._made.items)
        for one in ranges:
            shard = await self._build(one, topic_id)
            self.live += shard.live
            self._digest = (self._digest + int(shard.digest, 16)) % (1 << 128)

    async def _build(self, wanted: Range, topic_id: str) -> Shard:
        made, place = self._made, (self._made.items, wanted.partition)
        found = await asyncio.to_thread(
            recover,
            self._store,
            SnapshotLocation(COLLECTION, made.generation, made.items, wanted.partition),
            lambda: self._blank(wanted.partition),
            LogBounds(wanted.begin, max(wanted.stop, wanted.begin), topic_id),
            owner=self._owner,
            now=time.time(),
            segment_rows=self._segment_rows,
        )
        self._pace.skip(found.seek - wanted.begin)
        saved = time.monotonic()
        if found.shard.next_offset < wanted.stop:
            await self._consumer.assign({place: found.seek})
        while found.shard.next_offset < wanted.stop:
            before = found.shard.next_offset
            messages = await self._consumer.poll(0.5, max_records=BATCH)
            batch = [message for message in messages if message.offset < wanted.stop]
            position = min(await self._consumer.position(place), wanted.stop)
            failures = await asyncio.to_thread(apply_messages, found.shard, batch, position)
            self.read += len(batch)
            self.refused += len(failures)
            if time.monotonic() - saved >= SAVE_S:
                await self._save(found)
                saved = time.monotonic()
            await self._pace.add(found.shard.next_offset - before)
        await self._save(found)
        return found.shard

    async def _save(self, found: Recovered) -> None:
        cut = found.shard.cut()
        if found.writer.changed(cut):
            await asyncio.to_thread(found.writer.save, cut, time.time())
            await asyncio.to_thread(found.writer.collect)

    def _blank(self, partition: int) -> Shard:
        made = self._made
        return Shard(partition, made.encoder, 0, generation=made.generation, segment_rows=self._segment_rows)
