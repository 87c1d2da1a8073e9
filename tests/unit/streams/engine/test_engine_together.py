"""Results that are known together leave together, in order, and one by one where something goes wrong."""

import asyncio

import pytest

from processors.errors import Poison, Retryable
from streams.engine.failures import WorkAnew
from streams.engine.stages import Done, IoStage
from tests.fixtures.engines import World, message, running
from tests.fixtures.virtual_time import run_virtual
from tests.unit.streams.engine.test_engine_pipeline import device


class Together(World):
    """A world that publishes what follows each other at once; `refused`: offsets that make it decline, `broken`: that make it raise."""

    def __init__(self, *, refused=(), broken=()):
        super().__init__()
        self.runs = []
        self.refused, self.broken = set(refused), set(broken)

    async def publish_all(self, results):
        offsets = [m.offset for m, _ in results]
        if self.broken & set(offsets):
            raise Retryable("not at once")
        if self.refused & set(offsets):
            return None
        self.runs.append(offsets)
        self.published += [(m.source, result) for m, result in results]
        shared = self.deliver(results[-1][0].source)
        return [[shared] for _ in results]


def at_once(results, *, calls=None):
    """A first stage that knows these offsets' results of what arrives together."""

    async def single(m):
        if m.offset < 0:
            raise Poison("never", field="x")
        return Done(f"single {m.offset}")

    async def run_all(messages):
        if calls is not None:
            calls.append([m.offset for m in messages])
        return [Done(results[m.offset]) if m.offset in results else None for m in messages]

    return IoStage("read", single, run_all=run_all)


async def submitted(pipeline, world, messages):
    for m, done in zip(messages, await pipeline.look(messages), strict=True):
        await pipeline.submit(m, world.ack(m), done)


def test_what_is_known_together_leaves_together_and_in_order():
    """What the first stage does not know goes through it alone, and nothing overtakes it."""

    async def main():
        world = Together()
        stage = at_once({0: "a", 1: "b", 3: "d", 4: "e"})
        async with running([stage], world, publish_all=world.publish_all) as pipeline:
            await submitted(pipeline, world, [message(offset) for offset in range(5)])
            await pipeline.drain()
        assert [result for _, result in world.published] == ["a", "b", "single 2", "d", "e"]
        assert [offset for _, _, offset in world.acked] == [0, 1, 2, 3, 4]
        assert [0, 1] in [run[:2] for run in world.runs]

    run_virtual(main())


@pytest.mark.parametrize("trouble", ["refused", "broken"])
def test_what_cannot_leave_together_leaves_one_by_one(trouble):
    """Nothing is lost, and nothing changes its place."""

    async def main():
        world = Together(**{trouble: {1}})
        async with running([at_once({0: "a", 1: "b", 2: "c"})], world, publish_all=world.publish_all) as pipeline:
            await submitted(pipeline, world, [message(offset) for offset in range(3)])
            await pipeline.drain()
        assert [result for _, result in world.published] == ["a", "b", "c"]
        assert [offset for _, _, offset in world.acked] == [0, 1, 2]
        assert world.runs == []

    run_virtual(main())


def test_a_stage_that_fails_for_all_is_asked_for_each():
    """One bad message among those that arrived together does not hold up the others."""

    async def main():
        world = Together()

        async def run_all(_messages):
            raise Retryable("the store is away")

        async def single(m):
            if m.offset == 1:
                raise Poison("bad", field="x")
            return Done(m.offset)

        stage = IoStage("read", single, run_all=run_all)
        async with running([stage], world, publish_all=world.publish_all) as pipeline:
            await submitted(pipeline, world, [message(offset) for offset in range(3)])
            await pipeline.drain()
        assert [result for _, result in world.published] == [0, 2]
        assert [failure.message.offset for failure in world.dead] == [1]
        assert [offset for _, _, offset in world.acked] == [0, 1, 2]

    run_virtual(main())


def test_a_lost_delivery_sends_those_behind_it_again_one_by_one():
    """None of what was published together is acknowledged before each is durable."""

    async def main():
        world = Together()
        lost = [True]

        def deliver(_source):
            future = asyncio.get_running_loop().create_future()
            if lost.pop() if lost else False:
                future.set_exception(Retryable("the broker is away"))
            else:
                future.set_result(None)
            return future

        world.deliver = deliver
        async with running([at_once({0: "a", 1: "b"})], world, publish_all=world.publish_all) as pipeline:
            await submitted(pipeline, world, [message(offset) for offset in range(2)])
            await pipeline.drain()
        assert [result for _, result in world.published] == ["a", "b", "a", "b"]
        assert [offset for _, _, offset in world.acked] == [0, 1]

    run_virtual(main())


def test_a_revoked_partition_publishes_nothing_of_what_was_to_leave_together():
    """Its next owner does; also where the broker's client is being waited for."""

    async def main():
        world = Together()
        gate = asyncio.Event()

        async def publish_all(results):
            await gate.wait()
            return await Together.publish_all(world, results)

        async with running([at_once({0: "a", 1: "b"})], world, publish_all=publish_all) as pipeline:
            await submitted(pipeline, world, [message(offset) for offset in range(2)])
            await asyncio.sleep(1)
            pipeline.forget([("in", 0)])
            gate.set()
            await pipeline.drain()
        assert world.published == []
        assert world.acked == []

    run_virtual(main())


def test_one_message_is_not_looked_at_together():
    """It costs what it cost."""

    async def main():
        world, calls = Together(), []
        async with running([at_once({0: "a"}, calls=calls)], world) as pipeline:
            await submitted(pipeline, world, [message(0)])
            await pipeline.drain()
        assert calls == []
        assert [result for _, result in world.published] == ["single 0"]

    run_virtual(main())


def test_a_result_that_is_not_true_any_more_is_worked_out_anew():
    """What was told of a message at a glance is refused when its turn comes: its stages run, and the order stays."""

    async def main():
        class Changed(World):
            async def publish(self, message, result):
                if result == "as before" and message.offset == 1:
                    raise WorkAnew
                return await super().publish(message, result)

        world, looked = Changed(), []

        async def look(m):
            looked.append(m.offset)
            return m.offset

        async with running([IoStage("look", look), device()], world) as pipeline:
            for offset in range(4):
                m = message(offset)
                await pipeline.submit(m, world.ack(m), Done("as before"))
            await pipeline.drain()
        assert looked == [1]
        assert [result for _, result in world.published] == ["as before", 2, "as before", "as before"]
        assert [offset for _, _, offset in world.acked] == [0, 1, 2, 3]

    run_virtual(main())
