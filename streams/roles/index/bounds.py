"""Where a partition begins and ends, asked for as long as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiokafka.errors import KafkaError

from index_sync.recovery import LogBounds
from processors.errors import Retryable
from streams.kafka.consumer import PartitionId, PlainConsumer
from streams.roles.index.trouble import Patience

ASK_SECONDS = 60.0


async def bounds_of(
    consumer: PlainConsumer, place: PartitionId, wanted: Callable[[], bool], patience: Patience, begin: int = 0
) -> LogBounds | None:
    """What `recover` must know of a partition; None when its shard is not `wanted` any more meanwhile.

    Args:
        consumer: that asks.
        place: topic and partition.
        wanted: whether to go on asking.
        patience: between attempts at a broker that is away.
        begin: the first offset that belongs to the shard's generation.
    """
    attempt = 0
    while wanted():
        try:
            # The id first: one of a topic that is gone meanwhile is seen by whoever watches it. Asked last it would belong
            # to the new topic, and the bounds to the old one, where the first records of the new are never read.
            topic_id = await consumer.topic_id(place[0])
            low, end = await consumer.bounds(place)
            return LogBounds(max(low, begin), max(end, begin), topic_id, first_since=_first_since(consumer, place))
        except (Retryable, KafkaError) as error:
            attempt += 1
            await patience.wait_or_raise("bounds", error, attempt)
    return None


def _first_since(consumer: PlainConsumer, place: PartitionId) -> Callable[[int], int | None]:
    """Ask the broker from another thread for the first offset since a timestamp."""
    loop = asyncio.get_running_loop()

    def ask(timestamp_ms: int) -> int | None:
        asked = asyncio.run_coroutine_threadsafe(consumer.first_since(place, timestamp_ms), loop)
        try:
            return asked.result(ASK_SECONDS)
        except (KafkaError, TimeoutError) as error:
            asked.cancel()
            raise Retryable(f"the broker did not say which record came first since {timestamp_ms}: {error}") from error

    return ask
