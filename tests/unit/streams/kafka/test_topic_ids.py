"""Which topic it is: what the broker says, and what it does not say yet."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from aiokafka.errors import InvalidTimestampError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from processors.errors import Code, Poison, Retryable
from streams.kafka.cluster import topic_ids, topics_missing
from streams.kafka.faust.consumer import CommittedThread
from streams.kafka.producer import classify_kafka
from streams.kafka.starts import Committed

ID = UUID("4d9b0c1e-0000-4000-8000-00000000002a")
NONE = UUID(int=0)


class Broker:
    """As much of `AIOKafkaClient` as is asked."""

    def __init__(self, *answer: tuple[int, str, UUID]) -> None:
        self.topics: list[tuple[Any, ...]] = [(*one, False, [], 0, {}) for one in answer]

    def get_random_node(self) -> int:
        return 0

    async def send(self, _node: int, _request: object) -> Any:
        return SimpleNamespace(topics=self.topics)


async def test_a_topic_has_an_id_or_an_old_broker_gives_none() -> None:
    """A partition without a leader for a moment does not matter."""
    assert await topic_ids(Broker((0, "a", ID), (5, "b", ID)), ["a", "b"]) == {"a": ID.hex, "b": ID.hex}
    assert await topic_ids(Broker((0, "a", NONE)), ["a"]) == {}


async def test_a_topic_that_the_broker_does_not_know_yet_is_not_one_without_an_id() -> None:
    """A second number of partitions was pinned for it, under no id, and commits lost theirs."""
    with pytest.raises(UnknownTopicOrPartitionError) as raised:
        await topic_ids(Broker((3, "a", NONE)), ["a"])
    assert isinstance(classify_kafka(raised.value, "io"), Retryable)
    with pytest.raises(TopicAuthorizationFailedError):
        await topic_ids(Broker((29, "a", NONE)), ["a"])


async def test_topics_that_there_are_not() -> None:
    """One that is not shown to us may be there, and one without a leader is; an old broker does not say."""
    answers = (0, "a", ID), (3, "b", NONE), (5, "c", ID), (29, "d", NONE)
    assert await topics_missing(Broker(*answers), ["a", "b", "c", "d"]) == {"b"}

    class Old(Broker):
        async def send(self, _node: int, _request: object) -> Any:
            raise NotImplementedError

    assert await topics_missing(Old(), ["a"]) == set()


async def test_the_ids_are_asked_for_beside_the_threads_queue() -> None:
    """Commits for a topic that is gone block that queue for good: nobody would ever see that the topic is another one."""
    there = asyncio.new_event_loop()
    running = threading.Thread(target=there.run_forever)
    running.start()
    thread = object.__new__(CommittedThread)  # it has no queue at all
    thread.thread_loop = there
    thread._ensure_consumer = lambda: SimpleNamespace(_client=Broker((0, "a", ID)))
    try:
        async with asyncio.timeout(10):
            assert await thread.ids_now(["a"]) == {"a": ID.hex}
    finally:
        there.call_soon_threadsafe(there.stop)
        await asyncio.to_thread(running.join)
        there.close()


@pytest.mark.parametrize(
    ("metadata", "topic_id"),
    [(ID.hex, ID.hex), ("", ""), (None, ""), ("host-7", ""), (str(ID), ""), (f"{ID.hex}0", "")],
)
def test_only_an_id_of_ours_says_which_topic_was_committed_for(metadata: str | None, topic_id: str) -> None:
    """Words of another program in a commit would have all of the topic read again."""
    assert Committed.of(7, metadata) == Committed(7, topic_id)


def test_a_record_whose_time_the_topic_refuses_is_a_dead_letter_and_no_end() -> None:
    """One that is passed on keeps its time: every next start would meet the same refusal."""
    verdict = classify_kafka(InvalidTimestampError(), "io")
    assert isinstance(verdict, Poison)
    assert verdict.code is Code.OUT_OF_RANGE
