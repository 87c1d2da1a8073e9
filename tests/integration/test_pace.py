"""A reader with a pace on the real Kafka: the broker gathers what follows a record, and holds nothing that comes after silence."""

from __future__ import annotations

import uuid

import pytest

from infra.settings import Settings
from streams.contract import topics
from streams.kafka.consumer import open_consumer
from streams.kafka.pace import ENOUGH
from streams.kafka.producer import open_producer
from streams.ops.admin import create_topics

pytestmark = pytest.mark.integration

HELD_S = 20.0
"""Longer than two records take on any machine, and shorter than a request may take."""


async def test_what_follows_a_record_is_given_out_together_and_enough_at_once(kafka: str) -> None:
    settings = Settings(bootstrap_servers=kafka, topic_prefix=f"{uuid.uuid4().hex}.", partitions=2)
    await create_topics(settings)
    async with open_producer(settings) as sender, open_consumer(settings, pace_s=HELD_S) as consumer:
        await consumer.assign({(topics.ITEMS, 0): 0, (topics.ITEMS, 1): 0})

        async def send(key: bytes, partition: int, size: int = 1) -> None:
            await (await sender.send(topics.ITEMS, key=key, value=bytes(size), partition=partition))

        for key in (b"first", b"second"):
            await send(key, 0)
            assert [one.key for one in await consumer.poll(HELD_S)] == [key]
        await send(b"third", 0)
        await send(b"fourth", 1, ENOUGH)  # so that nothing waits for the time to pass
        assert {one.key for one in await consumer.poll(HELD_S)} == {b"third", b"fourth"}
