"""Which items captions are made of: those of the generation that answers, and of no two at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from infra.settings import Settings
from processors.errors import Retryable
from streams.contract import topics
from streams.contract.records import Generation
from streams.ops.generations.control import pointer
from streams.search.generations import FIRST, Generations, captions_group, key_of
from streams.wiring.live_items import LiveItems
from tests.fixtures.virtual_time import run_virtual

OWN = topics.items_of("g-2")
MADE = {
    "g-2": Generation(key_of("g-2"), "g-2", "building", items=OWN, ready=True),
    "g-same": Generation(key_of("g-same"), "g-same", "building", ready=True),
}


def live(name: str, previous: str) -> Generations:
    return Generations(pointer(name, previous), MADE)


class World:
    """What index.control says and when, who is in which group, and what was read from when to when."""

    def __init__(self, said: Sequence[tuple[float, Generations | Exception]]) -> None:
        self.said = list(said)
        self.members: dict[str, int] = {}
        self.trouble: list[Exception] = []
        self.read: list[tuple[str, float, float]] = []

    async def follow(self) -> AsyncIterator[Generations]:
        while self.said:
            at, now = self.said.pop(0)
            await asyncio.sleep(at - asyncio.get_running_loop().time())
            if isinstance(now, Exception):
                raise now
            yield now
        await asyncio.Event().wait()

    async def count(self, _settings: Settings, group: str) -> int:
        if self.trouble:
            raise self.trouble.pop()
        return self.members.get(group, 0)

    def run(self, seconds: float, then: Any = None) -> None:
        async def reading(items: str, stop: asyncio.Event) -> None:
            clock = asyncio.get_running_loop().time
            began = clock()
            await stop.wait()
            self.read.append((items, round(began, 1), round(clock(), 1)))

        async def main() -> None:
            stop = asyncio.Event()
            one = LiveItems(Settings(), self.follow, self.count)
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(one.follow())
                tasks.create_task(one.read(reading, stop))
                if then is not None:
                    tasks.create_task(then())
                await asyncio.sleep(seconds)
                stop.set()
                await asyncio.sleep(5)
                following.cancel()

        run_virtual(main())


def test_captions_follow_a_swap_and_the_way_back() -> None:
    """A generation that reads the same items changes nothing: no caption is looked at again for it."""
    world = World(
        [
            (0, Generations(None, MADE)),
            (10, live("g-same", FIRST)),
            (20, live("g-2", "g-same")),
            (30, live(FIRST, "g-2")),
        ]
    )
    world.run(40)
    assert world.read == [(topics.ITEMS, 0, 20), (OWN, 20, 30), (topics.ITEMS, 30, 40)]


def test_nothing_is_read_while_anybody_reads_other_items() -> None:
    """A worker that is slow to notice would publish the older caption of a product last."""
    world = World([(0, live(FIRST, "g-2")), (10, live("g-2", FIRST))])
    world.members[captions_group(topics.ITEMS)] = 1
    world.trouble = [Retryable("the broker is away")]

    async def leave() -> None:
        await asyncio.sleep(25)
        world.members.clear()

    world.run(40, leave)
    [first, second] = world.read
    assert (first[0], first[2]) == (topics.ITEMS, 10)
    assert second[0] == OWN
    assert 25 <= second[1] < 26


def test_a_swap_back_while_it_waits_reads_what_is_live_then() -> None:
    """Nothing was read of the one in between."""
    world = World([(0, live(FIRST, "g-2")), (10, live("g-2", FIRST)), (20, live(FIRST, "g-2"))])
    world.members[captions_group(topics.ITEMS)] = 1
    world.run(40)
    assert [items for items, *_ in world.read] == [topics.ITEMS, topics.ITEMS]


def test_trouble_with_the_generations_ends_nothing() -> None:
    """They are asked for again; what was live is read meanwhile."""
    world = World([(0, live(FIRST, "g-2")), (10, Retryable("away")), (20, live("g-2", FIRST))])
    world.run(40)
    assert [items for items, *_ in world.read] == [topics.ITEMS, OWN]


def test_each_items_topic_has_a_group_of_its_own() -> None:
    """The first keeps the name that it had; a generation's is that of whoever made its items."""
    assert captions_group(topics.ITEMS) == "weft-caption"
    assert captions_group(OWN) == "weft-caption-g-2"
