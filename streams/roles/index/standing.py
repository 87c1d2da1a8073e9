"""Where the index stands, told while it works: lag, group offsets, health. None of it decides anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from streams.contract import topics
from streams.engine.observer import Observer
from streams.kafka.consumer import PartitionId, PlainConsumer
from streams.roles.index.shards import OwnedShard

ITEMS_WORK = "items"
"""Applied and answered by two threads of their own: the one may hang while the other works."""
HEALTH_SECONDS = 1.0
COMMIT_SECONDS = 5.0
"""For one commit: aiokafka looks for the group's coordinator without end, and a stop would wait for a broker that is away."""


class Standing:
    """Tells, until it is stopped, what the shards held here have done and have still to do.

    Args:
        consumer: of the items.
        held: the shards held now, by partition; changes under our eyes.
        recovering: how many more are assigned, and not recovered yet.
        observer: who is told.
        stop: ends it.
    """

    def __init__(
        self,
        consumer: PlainConsumer,
        held: Mapping[int, OwnedShard],
        recovering: Callable[[], int],
        observer: Observer,
        stop: asyncio.Event,
    ) -> None:
        self._consumer, self._held, self._recovering = consumer, held, recovering
        self._observer, self._stop = observer, stop

    async def tell_lag(self, every_s: float) -> None:
        """Where we are, for our own metrics and for monitors that look at groups: these raise alarms after a minute or so."""
        while not self._stop.is_set():
            await self._pause(every_s)
            await self._commit()
            self._observer.lag(topics.ITEMS, {p: self._behind(held) for p, held in self._held.items()})

    async def tell_health(self) -> None:
        """What waits to be applied, or to be recovered: only that is held against a role that does nothing."""
        while not self._stop.is_set():
            recovering = self._recovering()
            behind = any(self._behind(held) for held in list(self._held.values()))
            doing = f"recovers {recovering} shards" if recovering else ""
            self._observer.working(ITEMS_WORK, waiting=bool(recovering) or behind, doing=doing)
            await self._pause(HEALTH_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    def _behind(self, held: OwnedShard) -> int:
        """Records of the partition that are not applied, as far as the last fetch told."""
        end = self._consumer.known_end((topics.ITEMS, held.partition)) or 0
        return max(0, max(end, held.target) - held.shard.next_offset)

    async def _commit(self) -> None:
        """Group offsets, for lag metrics and nothing else."""
        offsets: Mapping[PartitionId, int] = {
            (topics.ITEMS, p): held.shard.next_offset for p, held in self._held.items() if not held.owing
        }
        if not offsets:
            return
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await self._consumer.commit(offsets)
        except (TimeoutError, CommitFailedError, IllegalStateError, KafkaError) as error:
            self._observer.retried("commit", type(error).__name__)
