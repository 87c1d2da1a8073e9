"""What is not published: work of partitions that were revoked, wherever it stands, and of a pipeline that was given up."""

import asyncio

import pytest

from processors.errors import Poison, Retryable
from streams.engine.failures import PipelineClosed, Revoked
from streams.engine.observer import NullObserver
from streams.engine.stages import CpuStage, IoStage
from tests.fixtures.engines import World, message, running
from tests.fixtures.virtual_time import run_virtual
from tests.unit.streams.engine.test_engine_pipeline import OFFSET


def test_drain_finishes_and_refuses_new_messages():
    """drain() ends after the last ack; submit() afterwards is refused."""

    async def io(m):
        await asyncio.sleep(5)
        return 0

    async def main():
        world = World()
        async with running([IoStage("io", io)], world) as pipeline:
            await pipeline.submit(message(0), world.ack(message(0)))
            draining = asyncio.create_task(pipeline.drain())
            await asyncio.sleep(1)
            with pytest.raises(PipelineClosed):
                await pipeline.submit(message(1), world.ack(message(1)))
            assert not draining.done()
            await draining
            assert world.acked == [("in", 0, 0)]
            await pipeline.owner

    run_virtual(main())


def test_abort_gives_everything_back_without_acks():
    """abort() ends at once: no ack, no credits held, no task left."""

    async def io(m):
        await asyncio.sleep(1000)

    async def main():
        world = World()
        async with running([IoStage("io", io)], world) as pipeline:
            await pipeline.submit(message(0), world.ack(message(0)))
            pipeline.abort()
            await pipeline.owner
            assert pipeline.admission.held == 0
            assert asyncio.get_running_loop().time() < 1
        assert world.acked == []
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())


def test_forgotten_partitions_are_neither_published_nor_acknowledged():
    """After a revocation the new owner's results must not be followed by ours."""

    async def io(m):
        await asyncio.sleep(1)
        return m.partition

    async def main():
        world = World()
        async with running([IoStage("io", io)], world) as pipeline:
            for partition in (0, 1):
                m = message(0, partition=partition)
                await pipeline.submit(m, world.ack(m))
            pipeline.forget([("in", 0)])
            again = message(0)
            await pipeline.submit(again, lambda: world.acked.append("again"))
            await pipeline.drain()
            assert pipeline.admission.held == 0
        assert world.acked == [("in", 1, 0), "again"]
        assert sorted(source for source, _ in world.published) == [("in", 0, 0), ("in", 1, 0)]

    run_virtual(main())


@pytest.mark.parametrize("granted_first", [False, True])
def test_what_waited_for_credits_while_its_partition_was_revoked_is_not_taken(granted_first):
    """Neither refused while it waits nor woken with credits after the revocation may it open a lane of its own."""

    async def io(m):
        await asyncio.sleep(1)
        return m.offset

    async def main():
        class RevokesOnRelease(NullObserver):
            """Revokes between the grant of the credits and the turn of the task that they were granted to."""

            def credits_held(self, held, items):
                if granted_first and world.acked:
                    pipeline.forget([("in", 0)])

        world = World()
        async with running([IoStage("io", io)], world, items=1, observer=RevokesOnRelease()) as pipeline:
            held = pipeline.admission
            await pipeline.submit(message(0, partition=1), world.ack(message(0, partition=1)))
            waiting = asyncio.create_task(pipeline.submit(message(7), world.ack(message(7))))
            other = asyncio.create_task(pipeline.submit(message(0, partition=2), world.ack(message(0, partition=2))))
            await asyncio.sleep(0.5)
            pipeline.forget([("in", 5)])
            if not granted_first:
                pipeline.forget([("in", 0)])
            with pytest.raises(Revoked):
                await waiting
            await other
            await pipeline.drain()
            assert held.held == 0
        assert [source for source, _ in world.published] == [("in", 1, 0), ("in", 2, 0)]
        assert world.acked == [("in", 1, 0), ("in", 2, 0)]

    run_virtual(main())


def test_who_waits_for_credits_hears_of_the_revocation_at_once():
    """Credits may be held for as long as a store is away; the reader that waits for them holds the rebalance up."""

    async def away(m):
        await asyncio.sleep(3600)

    async def main():
        world = World()
        async with running([IoStage("fetch", away)], world, items=1) as pipeline:
            await pipeline.submit(message(0, partition=1), world.ack(message(0, partition=1)))
            waiting = asyncio.create_task(pipeline.submit(message(7), world.ack(message(7))))
            await asyncio.sleep(1)
            pipeline.forget([("in", 0)])
            with pytest.raises(Revoked):
                await asyncio.wait_for(waiting, 1)
            pipeline.abort()
            await pipeline.owner

    run_virtual(main())


def test_a_record_that_the_producer_has_not_taken_is_taken_back_when_its_partition_is_revoked():
    """The producer waits for room or for a leader; when that comes, the next owner has published newer ones."""

    async def main():
        world = World()
        accept, room = world.publish, asyncio.Event()

        async def publish(m, result):
            if m.partition == 0:
                await room.wait()
            return await accept(m, result)

        world.publish = publish
        async with running([OFFSET], world) as pipeline:
            for offset in (0, 1):
                await pipeline.submit(message(offset), world.ack(message(offset)))
            await asyncio.sleep(1)
            pipeline.forget([("in", 0)])
            room.set()
            await pipeline.submit(message(0, partition=1), world.ack(message(0, partition=1)))
            await pipeline.drain()
            assert pipeline.admission.held == 0
        assert [source for source, _ in world.published] == [("in", 1, 0)]
        assert world.acked == [("in", 1, 0)]

    run_virtual(main())


def test_a_dead_letter_that_is_being_written_is_taken_back_too():
    """The next owner finds the same fault and writes the letter."""

    async def main():
        world = World()
        accept, room = world.dead_letter, asyncio.Event()

        async def dead_letter(failure):
            await room.wait()
            return await accept(failure)

        def bad(m):
            raise Poison("bad")

        world.dead_letter = dead_letter
        async with running([CpuStage("bad", bad)], world) as pipeline:
            await pipeline.submit(message(0), world.ack(message(0)))
            await asyncio.sleep(1)
            pipeline.forget([("in", 0)])
            room.set()
            await pipeline.drain()
        assert (world.dead, world.acked) == ([], [])

    run_virtual(main())


def test_a_revoked_message_is_not_tried_for_ever():
    """Its store is away: nobody waits for it here any more, and it must not hold credits or a drain up."""

    async def away(m):
        raise Retryable("store down")

    async def main():
        world = World()
        async with running([IoStage("fetch", away)], world) as pipeline:
            await pipeline.submit(message(0), world.ack(message(0)))
            await asyncio.sleep(20)
            pipeline.forget([("in", 0)])
            await pipeline.drain()
            assert pipeline.admission.held == 0
            assert asyncio.get_running_loop().time() < 30
        assert (world.published, world.dead, world.acked) == ([], [], [])

    run_virtual(main())


def test_an_abort_during_a_publish_ends_it_as_ever():
    """A cancellation that is not a revocation is not swallowed."""

    async def main():
        world = World()

        async def publish(m, result):
            await asyncio.Event().wait()

        world.publish = publish
        async with running([OFFSET], world) as pipeline:
            await pipeline.submit(message(0), world.ack(message(0)))
            await asyncio.sleep(1)
            pipeline.forget([("in", 0)])
            pipeline.abort()
            await pipeline.owner
        assert len(asyncio.all_tasks()) == 1

    run_virtual(main())
