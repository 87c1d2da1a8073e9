"""What was done before its turn is not done in its turn, whatever a role's first stage is."""

from __future__ import annotations

import asyncio

import pytest

from streams.contract import topics
from streams.engine.ahead import Ahead
from streams.engine.message import Message
from streams.engine.stages import CpuStage, IoStage, Stage
from streams.roles.outcome import NoEffect
from streams.wiring.urgent import in_their_turn, product_of
from tests.fixtures.engines import World, running
from tests.fixtures.virtual_time import run_virtual

PLACE = (topics.UPLOADS, 0)


def record(offset: int) -> Message:
    return Message(topics.UPLOADS, 0, offset, b"sku-%d" % offset, b"{}")


@pytest.mark.parametrize("kind", ["io", "cpu"])
def test_what_was_taken_is_waited_for_and_left(kind: str) -> None:
    """The others go on meanwhile; a record that is done has no effect any more."""
    worked: list[int] = []

    async def fetch(message: Message) -> int:
        worked.append(message.offset)
        return message.offset

    def compute(message: Message) -> int:
        worked.append(message.offset)
        return message.offset

    async def main() -> None:
        world, ahead = World(), Ahead(product_of)
        ahead.begin(PLACE)
        assert ahead.take(PLACE, b"sku-1", [1]) == [1]
        stage: Stage = IoStage("first", fetch, concurrency=8) if kind == "io" else CpuStage("first", compute)
        async with running(in_their_turn(ahead, [stage]), world) as pipeline:
            for offset in range(3):
                await pipeline.submit(record(offset), world.ack(record(offset)))

            await asyncio.sleep(1)
            assert sorted(worked) == [0, 2]
            ahead.done(PLACE, b"sku-1", 1)
            await pipeline.drain()
        assert sorted(worked) == [0, 2]
        assert [result for _, result in world.published] == [0, NoEffect(), 2]
        assert len(world.acked) == 3

    run_virtual(main())
