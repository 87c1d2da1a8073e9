"""Messages that go through a pipeline as one: what is true of each by itself is true of them."""

import asyncio
from collections import Counter

import pytest

from processors.errors import Poison, Retryable
from streams.engine.credits import Credits
from streams.engine.failures import Revoked
from streams.engine.lanes import Run
from streams.engine.observer import NullObserver
from streams.engine.stages import Done, IoStage
from tests.fixtures.engines import World, delivered, message, running
from tests.fixtures.virtual_time import run_virtual


class Together(World):
    """Publishes at once, unless `declines`; `wholes`: acknowledgements of whole runs. `bad`: offsets that make no record."""

    def __init__(self, *, declines=None, bad=()):
        super().__init__()
        self.declines, self.bad = declines, set(bad)
        self.sent_together, self.wholes = [], []

    async def publish(self, message, result):
        if message.offset in self.bad:
            raise Poison("makes no record", field="x")
        return await super().publish(message, result)

    async def publish_all(self, results):
        if self.declines == "raises":
            raise Retryable("not at once")
        if self.declines == "says none" or self.bad & {m.offset for m, _ in results}:
            return None
        self.sent_together.append([m.offset for m, _ in results])
        self.published += [(m.source, result) for m, result in results]
        return [[self.deliver(m.source)] for m, _ in results]

    def run(self, offsets):
        messages = [message(offset) for offset in offsets]

        def ack_all():
            self.wholes.append(list(offsets))
            for m in messages:
                self.ack(m)()

        return Run(messages, [f"run {m.offset}" for m in messages], lambda n: self.ack(messages[n])(), ack_all)

    def offsets(self):
        return [source[2] for source, _ in self.published]

    def acked_offsets(self):
        return [offset for _, _, offset in self.acked]


async def single(m):
    return Done(f"single {m.offset}")


STAGES = [IoStage("read", single)]


async def drained(pipeline):
    """Done, with nothing held any more."""
    await pipeline.drain()
    assert (pipeline.admission.held, pipeline.admission.items, pipeline.in_flight) == (0, 0, 0)


def test_a_run_leaves_at_once_in_its_place_and_is_acknowledged_at_once():
    """Between messages that go by themselves."""

    async def main():
        world = Together()
        async with running(STAGES, world, publish_all=world.publish_all) as pipeline:
            await pipeline.submit(message(0), world.ack(message(0)))
            await pipeline.submit_run(world.run([1, 2, 3]))
            assert pipeline.in_flight == 4
            await pipeline.submit(message(4), world.ack(message(4)))
            await drained(pipeline)
        assert world.published[1:4] == [(("in", 0, n), f"run {n}") for n in (1, 2, 3)]
        assert world.offsets() == world.acked_offsets() == [0, 1, 2, 3, 4]
        assert world.wholes == [[1, 2, 3]]

    run_virtual(main())


@pytest.mark.parametrize("declines", ["raises", "says none"])
def test_a_run_that_cannot_leave_at_once_leaves_message_by_message(declines):
    """Two runs that were to leave together, too; each message is acknowledged by itself, once."""

    async def main():
        world = Together(declines=declines)
        async with running(STAGES, world, publish_all=world.publish_all) as pipeline:
            await pipeline.submit_run(world.run([0, 1]))
            await pipeline.submit_run(world.run([2, 3, 4]))
            await drained(pipeline)
        assert world.offsets() == world.acked_offsets() == [0, 1, 2, 3, 4]
        assert (world.wholes, world.sent_together) == ([], [])

    run_virtual(main())


def test_without_a_publish_of_all_a_run_is_published_message_by_message():
    """Roles that publish each by itself take runs as well, and one that makes no record costs itself only."""

    async def main():
        world = Together(bad={1})
        for publish_all in (None, world.publish_all):
            world.acked.clear()
            world.dead.clear()
            async with running(STAGES, world, publish_all=publish_all) as pipeline:
                await pipeline.submit_run(world.run([0, 1, 2]))
                await drained(pipeline)
            assert world.acked_offsets() == [0, 1, 2]
            assert [failure.message.offset for failure in world.dead] == [1]

    run_virtual(main())


@pytest.mark.parametrize("lost", [0, 2, 5])
def test_a_lost_delivery_sends_all_behind_it_again_message_by_message(lost):
    """Of a message before a run, in it, or in the run behind it: nothing is acknowledged before it is durable, nothing overtakes."""

    async def main():
        world, trouble = Together(), [lost]

        def deliver(source):
            if source[2] in trouble:
                trouble.remove(source[2])
                broken = asyncio.get_running_loop().create_future()
                broken.set_exception(Retryable("the broker is away"))
                return broken
            return delivered()

        world.deliver = deliver
        async with running(STAGES, world, publish_all=world.publish_all) as pipeline:
            await pipeline.submit(message(0), world.ack(message(0)))
            await pipeline.submit_run(world.run([1, 2, 3]))
            await pipeline.submit_run(world.run([4, 5]))
            await drained(pipeline)
        first, again = world.offsets()[:6], world.offsets()[6:]
        assert first == [0, 1, 2, 3, 4, 5]
        assert again == [number for number in range(6) if number >= {0: 0, 2: 1, 5: 4}[lost]]
        assert world.acked_offsets() == [0, 1, 2, 3, 4, 5]

    run_virtual(main())


def test_a_delivery_that_is_refused_for_good_costs_its_own_message():
    """Which message of a run it was is found out by sending each by itself."""

    async def main():
        world = Together()

        def deliver(source):
            broken = asyncio.get_running_loop().create_future()
            broken.set_exception(Poison("too large", field="value"))
            return broken if source[2] == 1 and not world.dead else delivered()

        world.deliver = deliver
        async with running(STAGES, world, publish_all=world.publish_all) as pipeline:
            await pipeline.submit_run(world.run([0, 1, 2]))
            await drained(pipeline)
        assert [failure.message.offset for failure in world.dead] == [1]
        assert world.acked_offsets() == [0, 1, 2]

    run_virtual(main())


def test_of_a_revoked_partition_a_run_publishes_and_acknowledges_nothing():
    """Neither one that waits for the broker's client, nor one that waits for room; the next owner does."""

    async def main():
        world, gate = Together(), asyncio.Event()

        async def publish_all(results):
            await gate.wait()
            return await world.publish_all(results)

        async with running(STAGES, world, items=3, publish_all=publish_all) as pipeline:
            await pipeline.submit_run(world.run([0, 1]))
            waiting = asyncio.create_task(pipeline.submit_run(world.run([2, 3])))
            await asyncio.sleep(1)
            assert not waiting.done(), "four messages are more than three"
            pipeline.forget([("in", 0)])
            gate.set()
            with pytest.raises(Revoked):
                await waiting
            await drained(pipeline)
        assert (world.published, world.acked) == ([], [])

    run_virtual(main())


@pytest.mark.parametrize("declines", [None, "says none"])
def test_each_message_of_a_run_counts_for_its_shop(declines):
    """As one, and by themselves: what is held goes back to nothing, and each is told as done."""
    done: Counter[str] = Counter()
    held: dict[str, int] = {}

    class Told(NullObserver):
        def shop_done(self, shop):
            done[shop] += 1

        def shop_credits(self, shop, held_now):
            held[shop] = held_now

    async def main():
        world = Together(declines=declines)
        async with running(
            STAGES,
            world,
            publish_all=world.publish_all,
            observer=Told(),
            shop_of=lambda m: "odd" if m.offset % 2 else "even",
        ) as pipeline:
            await pipeline.submit_run(world.run([0, 1, 2]))
            assert held["even"] == 2 * held["odd"] > 0
            await drained(pipeline)
        assert (done, held) == ({"even": 2, "odd": 1}, {"even": 0, "odd": 0})

    run_virtual(main())


async def test_credits_of_several_are_those_of_each():
    """Split, given back one by one, and not twice."""
    pool = Credits(100, items=4)
    together = await pool.acquire(0)
    pool.release(together)
    held = await pool.request(60, 3)
    assert (pool.held, pool.items) == (60, 3)
    parts = pool.split(held, [10, 20, 30])
    pool.release(held)
    assert (pool.held, pool.items) == (60, 3)
    waiting = pool.request(10, 2)
    assert not waiting.done()
    pool.release(parts[0])
    assert waiting.done()
    for one in (*parts, waiting.result()):
        pool.release(one)
    assert (pool.held, pool.items) == (0, 0)
    assert all(one.released for one in pool.split(held, [1, 2]))


def test_each_message_of_a_run_is_asked_once_whose_it_is_and_all_of_it_is_given_back():
    """Whose a message is costs a look into it; a run that ends gives back what it took, and counts each message of each shop."""

    class Told(NullObserver):
        def __init__(self):
            self.held, self.done = {}, Counter()

        def shop_credits(self, shop, held):
            self.held.setdefault(shop, []).append(held)

        def shop_done(self, shop):
            self.done[shop] += 1

    asked, told, world = Counter(), Told(), Together()

    def shop_of(m):
        asked[m.offset] += 1
        return "halm" if m.offset % 2 else ""

    async def scenario():
        stages = [IoStage("read", single)]
        async with running(stages, world, observer=told, shop_of=shop_of, publish_all=world.publish_all) as pipeline:
            await pipeline.submit_run(world.run(range(5)))
            await pipeline.drain()

    run_virtual(scenario())
    assert asked == Counter(range(5))
    assert told.done == {"": 3, "halm": 2}
    assert {shop: (len(held), held[0] > 0, held[-1]) for shop, held in told.held.items()} == {
        "": (2, True, 0),
        "halm": (2, True, 0),
    }
