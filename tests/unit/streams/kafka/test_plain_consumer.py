"""How often a consumer that gets nothing asks again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition

from streams.kafka.consumer import FETCH_WAIT_MS, QUIET_S, QUIET_WAIT_MS, PlainConsumer


class Fetching:
    """What an aiokafka consumer has of it. `coming`: what the next call gives."""

    def __init__(self) -> None:
        self._fetcher = SimpleNamespace(_fetch_max_wait_ms=0)
        self.coming: dict[TopicPartition, list[Any]] = {}

    async def getmany(self, **_: int) -> dict[TopicPartition, list[Any]]:
        found, self.coming = self.coming, {}
        return found

    def seek(self, place: TopicPartition, offset: int) -> None: ...

    def resume(self, place: TopicPartition) -> None: ...

    @property
    def waits_ms(self) -> int:
        return self._fetcher._fetch_max_wait_ms


async def test_a_quiet_consumer_asks_seldom_until_something_comes_or_it_is_moved() -> None:
    """Ninety requests a second of an idle stack cost a quarter of a core; a seek must not wait long for the request under way."""
    fetching = Fetching()
    consumer = PlainConsumer(fetching)
    await consumer.poll(0.1)
    assert fetching.waits_ms == FETCH_WAIT_MS
    for stirs in ("a record", "a seek"):
        consumer._stirred -= QUIET_S + 1
        await consumer.poll(0.1)
        assert fetching.waits_ms == QUIET_WAIT_MS
        if stirs == "a record":
            record = SimpleNamespace(
                topic="t", partition=0, offset=3, key=b"k", value=b"v", headers=(), timestamp=1_767_225_600_000
            )
            fetching.coming = {TopicPartition("t", 0): [record]}
            assert [message.offset for message in await consumer.poll(0.1)] == [3]
        else:
            consumer.read_from(("t", 0), 7)
        await consumer.poll(0.1)
        assert fetching.waits_ms == FETCH_WAIT_MS
