"""How often a consumer that gets nothing asks again, and what it says of a topic that it cannot see."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from aiokafka import TopicPartition

from infra.settings import Settings
from processors.errors import Fatal, Retryable
from streams.kafka.consumer import FETCH_WAIT_MS, QUIET_S, QUIET_WAIT_MS, PlainConsumer
from streams.kafka.names import names_of


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


class Answering:
    """A client of a broker that shows no topic. `code`: what it says of the one that is asked for."""

    def __init__(self, code: int) -> None:
        self._code = code

    async def force_metadata_update(self) -> bool:
        return True

    async def fetch_all_metadata(self) -> Any:
        return SimpleNamespace(partitions_for_topic=lambda _: None)

    def get_random_node(self) -> int:
        return 0

    async def send(self, _node: int, _request: object) -> Any:
        return SimpleNamespace(topics=[(self._code, "dev.search.hits", UUID(int=0), False, [])])


@pytest.mark.parametrize(("code", "kind", "said"), [(29, Fatal, "weft doctor"), (3, Retryable, "weft topics create")])
async def test_a_topic_that_is_hidden_is_not_called_missing(code: int, kind: type[Exception], said: str) -> None:
    """To wait for a right as for a topic that somebody makes would be to wait for ever; the sentence says what to do."""
    consumer = SimpleNamespace(_client=Answering(code), partitions_for_topic=lambda _: None)
    names = names_of(Settings(topic_prefix="dev."))
    with pytest.raises(kind, match=said) as told:
        await PlainConsumer(consumer, names).partitions("search.hits")
    assert "dev.search.hits" in str(told.value)
