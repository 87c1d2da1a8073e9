"""The index role and a topic of items that is created again: every shard starts over, whatever else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from index_sync.shard import Shard
from infra.settings import Settings
from processors.errors import Fatal
from streams.contract import topics
from streams.engine.observer import NullObserver
from streams.kafka.producer import MemorySender
from streams.roles.index import role as role_module
from streams.roles.index.probes import ProbeAnswerer
from streams.roles.index.role import IndexRole
from streams.roles.index.shards import IndexConfig, OwnedShard
from streams.roles.index.standing import Standing
from tests.fakes.index_items import DIMENSION, ENCODER, MemoryObjects
from tests.fixtures.virtual_time import InlineExecutor, run_virtual


async def inline(call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """No thread, for virtual time."""
    return call(*args, **kwargs)


class Topic:
    """A consumer of a topic that can be created again, in between two questions too."""

    def __init__(self) -> None:
        self.id, self.low, self.end = "a", 57, 60
        self.began: dict[int, list[int]] = {}
        self.after_bounds: list[Callable[[], None]] = []

    def create_again(self) -> None:
        self.id, self.low, self.end = "b", 0, 60

    async def bounds(self, _place: object) -> tuple[int, int]:
        found = self.low, self.end
        if self.after_bounds:
            self.after_bounds.pop()()
        return found

    async def topic_id(self, _topic: str) -> str:
        return self.id

    async def first_since(self, _place: object, _timestamp_ms: int) -> int | None:
        return None

    def known_partitions(self, _topic: str) -> int:
        return 2

    def hold(self, _place: object) -> None: ...

    def read_from(self, place: tuple[str, int], offset: int) -> None:
        self.began.setdefault(place[1], []).append(offset)


async def with_role(topic: Topic, act: Callable[[IndexRole, Any], Awaitable[None]]) -> None:
    """A role that holds partitions 0 and 1 and watches the topic, while `act` runs."""
    config = IndexConfig("worker", ENCODER, DIMENSION)
    role = IndexRole(
        config,
        store=MemoryObjects(),
        sender=MemorySender(),
        dead_letter=lambda _: pytest.fail("no letters here"),
        settings=Settings(),
        observer=NullObserver(),
        now=lambda: 1e9,
        in_thread=inline,
    )

    async def report(_failure: object) -> None:
        raise Fatal("no letters here")

    async with asyncio.TaskGroup() as tasks:
        answerer = ProbeAnswerer(config, InlineExecutor(), MemorySender(), report, NullObserver(), lambda: 1e9, tasks)
        work = role_module._Work(topic, answerer, tasks)  # type: ignore[arg-type]
        role.assigned(work, [(topics.ITEMS, 0), (topics.ITEMS, 1)])
        watching = tasks.create_task(role._watch_topic(work))
        await asyncio.sleep(1)
        await act(role, work)
        watching.cancel()


def test_every_shard_of_the_old_topic_starts_over() -> None:
    """One partition met the new topic first (its offset was not there); the other's offset fits by chance."""
    topic = Topic()

    async def act(role: IndexRole, work: Any) -> None:
        topic.create_again()
        role._start_over(work, [1])
        await asyncio.sleep(30)
        assert topic.began == {0: [57, 0], 1: [57, 0]}

    run_virtual(with_role(topic, act))


def test_a_topic_that_is_created_again_while_it_is_asked_for_is_read_from_its_beginning() -> None:
    """The old first offset and the new id would begin behind the first records of the new topic, for good."""
    topic = Topic()
    topic.after_bounds = [topic.create_again]

    async def act(_role: IndexRole, _work: Any) -> None:
        await asyncio.sleep(30)
        assert {partition: began[-1] for partition, began in topic.began.items()} == {0: 0, 1: 0}

    run_virtual(with_role(topic, act))


class Silent(Topic):
    """No broker answers a commit: aiokafka looks for the group's coordinator without end."""

    commits = 0

    def known_end(self, _place: object) -> int:
        return 60

    async def commit(self, _offsets: object) -> None:
        self.commits += 1
        await asyncio.Event().wait()


def test_a_broker_that_is_away_holds_up_neither_news_nor_a_stop() -> None:
    """The lag is told all the same, and whoever stops the role does not wait for a commit that decides nothing."""

    class Told(NullObserver):
        lags = 0

        def lag(self, topic: str, messages: object) -> None:
            self.lags += 1

    async def main() -> None:
        consumer, told, stop = Silent(), Told(), asyncio.Event()
        shard = Shard(0, ENCODER, DIMENSION)
        held = {0: OwnedShard(shard, writer=None, target=60)}  # type: ignore[arg-type]
        standing = Standing(consumer, held, lambda: 0, told, stop)  # type: ignore[arg-type]
        telling = asyncio.create_task(standing.tell_lag(5.0))
        await asyncio.sleep(60)
        assert told.lags >= 5
        stop.set()
        await asyncio.wait([telling], timeout=10)
        assert telling.done()

    run_virtual(main())
