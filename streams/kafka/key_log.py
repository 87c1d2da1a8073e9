"""A topic on the broker as `streams.kafka.key_order` reads it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from processors.errors import Retryable
from streams.engine.message import Message
from streams.kafka.consumer import PlainConsumer
from streams.kafka.positions import RecordAddress, records_between


class KafkaLog:
    """A `Log` over a consumer of its own: it is assigned elsewhere with each look.

    Args:
        consumer: without a group.
        topic: the topic.
    """

    def __init__(self, consumer: PlainConsumer, topic: str) -> None:
        self._consumer, self._topic = consumer, topic

    async def partitions(self) -> int:
        """See `Log`."""
        return len(await self._consumer.partitions(self._topic))

    async def first_since(self, partition: int, timestamp_ms: int) -> int | None:
        """See `Log`."""
        from aiokafka.errors import KafkaError

        try:
            return await self._consumer.first_since((self._topic, partition), timestamp_ms)
        except (KafkaError, OSError) as error:
            raise Retryable(f"the records before cannot be found: {error!r}") from error

    async def between(self, partition: int, first: int, end: int) -> AsyncIterator[Message]:
        """See `Log`."""
        from aiokafka.errors import KafkaError

        try:
            async for message in records_between(self._consumer, RecordAddress(self._topic, partition, first), end):
                yield message
        except (KafkaError, OSError) as error:
            raise Retryable(f"the records before cannot be read: {error!r}") from error
