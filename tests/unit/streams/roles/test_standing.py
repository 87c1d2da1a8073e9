"""What stands on a topic: skipped when it comes again, published when anything else lies there, whoever dies when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from infra.memory_store import MemoryStore
from models.fakes import FakeWriter
from processors.errors import Retryable
from streams.contract import topics
from streams.engine.message import ANSWER, PRIORITY, URGENT, Message
from streams.roles.outcome import Deleted, Unchanged, publisher, publisher_of_all
from streams.roles.standing import Standing
from streams.wiring.urgent import is_urgent
from tests.unit.streams.roles.test_role_caption import captioner, item, message, through


class Sending:
    """A broker's client whose deliveries end when they are told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes | None, dict[str, bytes]]] = []
        self.deliveries: list[asyncio.Future[object]] = []

    async def send(self, _topic: str, *, key: Any, value: Any, headers: Any = (), **_place: Any) -> Awaitable[object]:
        self.sent.append((value, dict(headers)))
        self.deliveries.append(asyncio.get_running_loop().create_future())
        return self.deliveries[-1]

    def deliver(self) -> None:
        for delivery in self.deliveries:
            if not delivery.done():
                delivery.set_result(None)


class World:
    """A process that publishes captions; `again` is its successor with the same store."""

    def __init__(self, store: MemoryStore | None = None, topic_id: str = "t1", *, made_of_it: bool = False) -> None:
        self.store = store or MemoryStore("test")
        self.sender = Sending()
        self.told: list[Any] = []

        async def generation() -> str:
            return topic_id

        standing = Standing(self.store, "caption", generation, asyncio.to_thread)
        self._publish = publisher(
            self.sender,
            stage="caption",
            topic=topics.CAPTIONS,
            published=self.told.append,
            standing=standing,
            urgent=is_urgent if made_of_it else None,
        )

    async def publish(self, of: Message, outcome: Any, *, delivered: bool = True) -> int:
        """How many records were sent for it."""
        before = len(self.sender.sent)
        deliveries = [asyncio.ensure_future(one) for one in await self._publish(of, outcome)]
        if delivered:
            self.sender.deliver()
            await asyncio.gather(*deliveries)
        return len(self.sender.sent) - before


async def caption(angle: float = 0.0) -> Any:
    return await through(captioner(FakeWriter()), message(item("sku-1", title=str(angle))))


def named(caption: Any, text: str) -> Any:
    return msgspec.structs.replace(caption, caption=text)


async def test_what_stands_is_not_published_again() -> None:
    """Not by this process, not by its successor; it is counted all the same."""
    first, of = await caption(), message(item("sku-1"))
    world = World()
    assert await world.publish(of, first) == 1
    assert await world.publish(of, Unchanged(first)) == 0
    later = World(world.store)
    assert await later.publish(of, Unchanged(first)) == 0
    assert later.told == [Unchanged(first)]


async def test_whoever_waits_for_an_answer_gets_one() -> None:
    """The record is published again, and asks the next role for one, too."""
    first = await caption()
    world = World()
    await world.publish(message(item("sku-1")), first)
    asking = Message(topics.ITEMS, 0, 1, b"sku-1", b"", ((ANSWER, b"1"),))
    assert await world.publish(asking, Unchanged(first)) == 1
    assert world.sender.sent[-1][1][ANSWER] == b"1"


async def test_what_something_else_has_replaced_is_published() -> None:
    """Another caption, or a deletion, came in between."""
    first, of = await caption(), message(item("sku-1"))
    for between in (named(first, "Another."), Deleted("sku-1")):
        world = World()
        await world.publish(of, first)
        await world.publish(of, between)
        assert await World(world.store).publish(of, Unchanged(first)) == 1
        assert await World(world.store).publish(of, Unchanged(first)) == 0, "now it stands"


async def test_a_topic_that_was_made_anew_is_empty() -> None:
    """Its id says so."""
    first, of = await caption(), message(item("sku-1"))
    world = World()
    await world.publish(of, first)
    assert await World(world.store, topic_id="t2").publish(of, Unchanged(first)) == 1


async def test_a_record_on_its_way_counts_and_a_lost_one_does_not() -> None:
    """What was handed to the broker and never delivered does not stand for a successor."""
    first, of = await caption(), message(item("sku-1"))
    world = World()
    assert await world.publish(of, first, delivered=False) == 1
    assert await world.publish(of, Unchanged(first), delivered=False) == 0, "acknowledged after the first only"
    assert await World(world.store).publish(of, Unchanged(first)) == 1


async def test_of_two_on_their_way_the_newer_stands() -> None:
    """Whichever delivery is noticed first."""
    first, of = await caption(), message(item("sku-1"))
    world = World()
    older = [asyncio.ensure_future(one) for one in await world._publish(of, first)]
    newer = [asyncio.ensure_future(one) for one in await world._publish(of, named(first, "Another."))]
    world.sender.deliveries[1].set_result(None)
    await asyncio.gather(*newer)
    world.sender.deliveries[0].set_result(None)
    await asyncio.gather(*older)
    later = World(world.store)
    assert await later.publish(of, Unchanged(named(first, "Another."))) == 0
    assert await later.publish(of, Unchanged(first)) == 1


async def test_a_lost_delivery_is_told() -> None:
    """The engine sends again; nothing is kept of it."""
    first, of = await caption(), message(item("sku-1"))
    world = World()
    [lost] = [asyncio.ensure_future(one) for one in await world._publish(of, first)]
    world.sender.deliveries[0].set_exception(Retryable("the broker is away"))
    with pytest.raises(Retryable):
        await lost
    assert await world.publish(of, Unchanged(first)) == 1


async def test_what_is_urgent_hurries_what_is_made_of_it() -> None:
    """The header goes on; and where something is made of it, it is published though it stands: that may wait for its turn."""
    first, of = await caption(), message(item("sku-1"))
    urgent = replace(of, headers=(*of.headers, (PRIORITY, URGENT)))
    for made_of_it in (False, True):
        world = World(made_of_it=made_of_it)
        assert await world.publish(of, first) == 1
        assert await world.publish(of, Unchanged(first)) == 0
        assert await world.publish(urgent, Unchanged(first)) == int(made_of_it)
        assert await world.publish(urgent, first) == 1
        assert world.sender.sent[-1][1][PRIORITY] == URGENT
        assert PRIORITY not in world.sender.sent[0][1]


async def test_captions_that_stand_are_told_of_all_at_once() -> None:
    """One that does not stand, is new, is waited for or is a deletion has all of them published one by one."""
    first, second = await caption(), msgspec.structs.replace(await caption(), product_id="sku-2")
    world = World()
    for one in (first, second):
        await world.publish(message(item(one.product_id)), one)
    told: list[Any] = []

    async def generation() -> str:
        return "t1"

    publish_all = publisher_of_all(Standing(world.store, "caption", generation, asyncio.to_thread), told.append)
    of = message(item("sku-1"))
    both = [(of, Unchanged(first)), (of, Unchanged(second))]
    assert await publish_all(both) == [(), ()]
    assert told == [Unchanged(first), Unchanged(second)]
    asking = Message(topics.ITEMS, 0, 1, b"sku-1", b"", ((ANSWER, b"1"),))
    for other in (
        (of, Unchanged(named(first, "Another."))),
        (of, second),
        (of, Deleted("sku-1")),
        (asking, Unchanged(first)),
    ):
        assert await publish_all([*both, other]) is None
    assert len(told) == 2
