"""What is urgent is done before its turn: at once, fairly, and in the one order of its product."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from processors.errors import Poison
from streams.contract.urgency import Said
from streams.engine.ahead import Ahead
from streams.engine.attempts import Engine
from streams.engine.backoff import Backoff
from streams.engine.credits import Credits
from streams.engine.device import Device
from streams.engine.message import Message
from streams.engine.pipeline import Pipeline
from streams.engine.stages import DeviceStage, Done, IoStage
from streams.kafka.consumer import PlainConsumer
from streams.kafka.look_ahead import AT_ONCE, LANES, MOST_WAITING, LookAhead, Rules, _Watched
from tests.fixtures.engines import World
from tests.fixtures.virtual_time import InlineExecutor, run_virtual

TOPIC = "in"
SECONDS = 1.0


def record(offset: int, product: str, *, urgent: bool = False, partition: int = 0) -> Message:
    """`product`: "shop/id"."""
    return Message(TOPIC, partition, offset, product.encode(), b"high" if urgent else b"normal")


@dataclass
class Log:
    """A topic of one partition and its consumer; everything that is in it is there at once."""

    records: list[Message]
    next: int = 0
    assigned: dict[tuple[str, int], int] = field(default_factory=dict)
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    async def assign(self, positions: Mapping[tuple[str, int], int]) -> None:
        self.assigned = dict(positions)
        self.next = positions.get((TOPIC, 0), 0)

    async def poll(self, _seconds: float) -> list[Message]:
        if self.next >= len(self.records) or not self.assigned:
            await asyncio.sleep(0.2)
            return []
        found = self.records[self.next : self.next + 50]
        self.next += len(found)
        return found

    async def position(self, _place: tuple[str, int]) -> int:
        return self.next

    async def watermarks(self, _topic: str) -> dict[int, tuple[int, int]]:
        return {0: (0, len(self.records))}


@asynccontextmanager
async def role(
    records: list[Message],
    world: World,
    *,
    work: Callable[[Message], Any] = lambda m: m.offset,
    room: int = 8,
) -> AsyncIterator[tuple[LookAhead, Callable[[], Any]]]:
    """A device that takes a second a message; `in_turn()` reads the partition as a group would, `room` at once."""

    @asynccontextmanager
    async def opening(_pace_s: float) -> AsyncIterator[PlainConsumer]:
        yield cast("PlainConsumer", Log(records))

    def seconds(batch: list[Message]) -> list[Any]:
        return [work(message) for message in batch]

    class Slow(InlineExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            done = super().submit(fn, *args, **kwargs)
            later: Any = type(done)()
            later.set_running_or_notify_cancel()

            def copy() -> None:
                if done.exception() is None:
                    later.set_result(done.result())
                else:
                    later.set_exception(done.exception())

            asyncio.get_running_loop().call_later(SECONDS, copy)
            return later

    ahead = Ahead(lambda message: message.key or b"")

    async def turn(message: Message) -> Message | Done[None]:
        return Done(None) if await ahead.is_done(message) else message

    stages = (DeviceStage("work", seconds, max_items=1),)
    async with Device(executor=Slow()) as device, asyncio.TaskGroup() as tasks:
        engine = Engine(device, InlineExecutor(), backoff=Backoff(rng=random.Random(7)))
        common: dict[str, Any] = {"engine": engine}
        first: Pipeline[Any] = Pipeline(
            "role",
            (IoStage("turn", turn, concurrency=1024), *stages),
            publish=ahead.in_turn(world.publish),
            dead_letter=ahead.letters_in_turn(world.dead_letter),
            admission=Credits(10**9, items=room),
            **common,
        )
        second: Pipeline[Any] = Pipeline(
            "role",
            stages,
            publish=ahead.before_turn(world.publish),
            dead_letter=world.dead_letter,
            admission=Credits(10**9, items=64),
            priority="urgent",
            lane=lambda message: hash(message.key) % LANES,
            beside=True,
            **common,
        )
        shop = Rules(
            lambda message: Said(message.key or b"", message.value == b"high"),
            lambda product: product.decode().partition("/")[0],
        )
        look = LookAhead(opening, TOPIC, ahead, second, shop)
        running = [tasks.create_task(first.run()), tasks.create_task(look.run())]
        look.begin({(TOPIC, 0): 0})

        async def in_turn() -> None:
            for message in list(records):
                await first.submit(message, world.ack(message))
            await first.drain()

        try:
            yield look, in_turn
        finally:
            first.abort()
            running[1].cancel()


def published(world: World) -> list[int]:
    return [result for _, result in world.published if result is not None]


def backlog(count: int, *urgent: tuple[int, str]) -> list[Message]:
    at = dict(urgent)
    return [record(o, at.get(o, f"a/p{o}"), urgent=o in at) for o in range(count)]


def test_the_last_of_a_thousand_is_done_among_the_first() -> None:
    """Behind 1,000 it is done after what was in flight; every record is done once, and acknowledged in its turn."""

    async def main() -> None:
        world, records = World(), backlog(1001, (1000, "a/new"))
        async with role(records, world) as (_, in_turn):
            await in_turn()
        order = published(world)
        assert order.index(1000) <= 3
        assert sorted(order) == list(range(1001))
        assert [offset for _, _, offset in world.acked] == list(range(1001))

    run_virtual(main())


def test_a_product_has_one_order() -> None:
    """Its older records are done before the urgent one, its newer ones after it; none of them twice."""

    async def main() -> None:
        world = World()
        records = backlog(200)
        for offset in (3, 90, 120):
            records[offset] = record(offset, "a/same")
        records[100] = record(100, "a/same", urgent=True)
        async with role(records, world) as (_, in_turn):
            await in_turn()
        order = published(world)
        assert [offset for offset in order if offset in {3, 90, 100, 120}] == [3, 90, 100, 120]
        assert order.index(100) < 15
        assert order.index(120) > 100
        assert sorted(order) == list(range(200))

    run_virtual(main())


def test_a_shop_that_calls_everything_urgent_delays_itself_only() -> None:
    """Of 150 urgent ones of one shop, the single one of another is done among the first; all are done."""

    async def main() -> None:
        world = World()
        records = [record(o, f"loud/p{o}", urgent=True) for o in range(150)] + [record(150, "quiet/p", urgent=True)]
        async with role(records, world, room=1) as (_, in_turn):
            await in_turn()
        order = published(world)
        assert order.index(150) <= 2 * AT_ONCE + 4
        assert sorted(order) == list(range(151))

    run_virtual(main())


def test_what_is_not_urgent_goes_on() -> None:
    """While urgent ones keep coming, one batch in four is of the backlog."""

    async def main() -> None:
        world = World()
        records = [record(o, f"a/p{o}", urgent=o % 2 == 1) for o in range(160)]
        async with role(records, world) as (_, in_turn):
            await in_turn()
        early = published(world)[:80]
        assert 15 <= len([offset for offset in early if offset % 2 == 0]) <= 45
        assert sorted(published(world)) == list(range(160))

    run_virtual(main())


def test_an_urgent_record_that_fails_is_one_dead_letter() -> None:
    """It is not tried again in its turn, and holds up nobody."""

    def work(message: Message) -> int:
        if message.offset == 50:
            raise Poison("no photo", field="image")
        return message.offset

    async def main() -> None:
        world = World()
        async with role(backlog(60, (50, "a/bad")), world, work=work) as (_, in_turn):
            await in_turn()
        assert [failure.message.offset for failure in world.dead] == [50]
        assert sorted(published(world)) == [offset for offset in range(60) if offset != 50]
        assert [offset for _, _, offset in world.acked] == list(range(60))

    run_virtual(main())


def test_what_was_revoked_is_not_published() -> None:
    """The next owner does it; and when the partition comes back, it is looked through again."""

    async def main() -> None:
        world = World()
        records = backlog(40, (30, "a/new"))
        async with role(records, world) as (look, in_turn):
            await asyncio.sleep(SECONDS / 2)  # it is on the device
            look.revoked([(TOPIC, 0)])
            await asyncio.sleep(5)
            assert world.published == []
            look.begin({(TOPIC, 0): 0})
            await asyncio.sleep(5)
            assert published(world) == [30]
            await in_turn()
        assert sorted(published(world)) == list(range(40))

    run_virtual(main())


def test_more_than_a_shop_may_have_waiting_comes_in_its_turn() -> None:
    """Nothing is lost, and memory is bounded."""

    async def main() -> None:
        world = World()
        count = 3 * MOST_WAITING
        async with role([record(o, f"a/p{o}", urgent=True) for o in range(count)], world) as (_, in_turn):
            await in_turn()
        assert sorted(published(world)) == list(range(count))

    run_virtual(main())


@pytest.mark.parametrize("seed", range(16))
def test_each_product_keeps_its_order(seed: int) -> None:
    """Whatever is urgent, wherever it lies: every record is published once, those of a product in their order."""
    rng = random.Random(seed)
    records = [record(o, f"a/p{rng.randrange(12)}", urgent=rng.random() < 0.2) for o in range(120)]

    async def main() -> None:
        world = World()
        async with role(records, world, room=rng.choice([1, 8, 40])) as (_, in_turn):
            await asyncio.sleep(rng.choice([0, 0.3, 10]))
            await in_turn()
        seen: dict[bytes | None, list[int]] = {}
        for offset in published(world):
            seen.setdefault(records[offset].key, []).append(offset)
        assert all(offsets == sorted(offsets) for offsets in seen.values())
        assert sorted(published(world)) == list(range(120))
        assert [offset for _, _, offset in world.acked] == list(range(120))

    run_virtual(main())


def test_of_a_long_backlog_the_places_are_remembered() -> None:
    """Those of one product, between where the group is and an offset; what the group is past is forgotten now and then."""
    held = _Watched(0)
    for offset in range(0, 200_000, 2):
        held.saw(b"p%d" % (offset % 1000), offset, reached=offset - 5_000)
    assert held.before(b"p10", 199_500, 195_000) == [195_010, 196_010, 197_010, 198_010, 199_010]
    assert held.before(b"p10", 195_010, 195_000) == []
    assert held.before(b"nobody", 199_500, 0) == []
    assert len(held.offsets) < 80_000
