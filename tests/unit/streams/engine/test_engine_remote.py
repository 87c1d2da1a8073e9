"""Stages that wait for somebody else: no slot for what is known, and no waiting for a partition that is another worker's."""

import asyncio

from streams.engine.stages import CpuStage, IoStage
from tests.fixtures.engines import World, message, running
from tests.fixtures.virtual_time import run_virtual

OFFSET = CpuStage("offset", lambda m: m.offset)


def test_what_is_known_takes_no_slot():
    """While all slots wait for a server that hangs, what needs no server leaves."""

    async def main():
        world, hung = World(), asyncio.Event()

        async def ask(offset):
            await hung.wait()
            return "asked"

        stage = IoStage("write", ask, concurrency=1, known=lambda offset: None if offset < 2 else "known")
        async with running([OFFSET, stage], world) as pipeline:
            for partition, offset in ((0, 0), (1, 1), (2, 2)):
                m = message(offset, partition=partition)
                await pipeline.submit(m, world.ack(m))
            await asyncio.sleep(1)
            assert [result for _, result in world.published] == ["known"]
            hung.set()
            await pipeline.drain()
        assert sorted(result for _, result in world.published) == ["asked", "asked", "known"]

    run_virtual(main())


def test_a_revoked_partition_cancels_what_waits_for_it():
    """Its requests end, whether they are under way or wait for a slot; those of other partitions go on."""

    async def main():
        world, answered = World(), asyncio.Event()
        cancelled = []

        async def ask(offset):
            try:
                await answered.wait()
            except asyncio.CancelledError:
                cancelled.append(offset)
                raise
            return offset

        async with running([OFFSET, IoStage("write", ask, concurrency=2, abandons=True)], world) as pipeline:
            for partition, offset in ((0, 0), (1, 1), (0, 2)):
                m = message(offset, partition=partition)
                await pipeline.submit(m, world.ack(m))
            await asyncio.sleep(1)
            pipeline.forget([("in", 0)])
            await asyncio.sleep(1)
            assert cancelled == [0]
            answered.set()
            await pipeline.drain()
        assert [source[1] for source, _ in world.published] == [1]
        assert world.dead == []

    run_virtual(main())


def test_a_request_that_is_under_way_ends_with_its_pipeline():
    """An abort leaves no task behind that nobody owns."""

    async def main():
        world, cancelled = World(), []

        async def ask(offset):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(offset)
                raise

        async with running([OFFSET, IoStage("write", ask, abandons=True)], world) as pipeline:
            m = message(0)
            await pipeline.submit(m, world.ack(m))
            await asyncio.sleep(1)
            pipeline.abort()
        assert cancelled == [0]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(main())
