"""The pipeline: order, failures, retries, credits, drain, abort, revocation."""

import asyncio
import itertools

import pytest

from processors.errors import Fatal, Poison, Retryable
from streams.engine.failures import PipelineClosed
from streams.engine.observer import NullObserver
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage
from tests.fixtures.engines import World, message, running
from tests.fixtures.virtual_time import run_virtual


def doubled(batch):
    return [item * 2 for item in batch]


def device(run=doubled, **options):
    return DeviceStage("double", run, **options)


OFFSET = CpuStage("offset", lambda m: m.offset)


def test_results_and_acks_keep_the_order_of_their_partition():
    """Later items finish first, and still leave after the earlier ones."""

    async def slow_first(m):
        await asyncio.sleep(10 - m.offset)
        return m.offset

    async def main():
        world = World()
        async with running([IoStage("slow", slow_first), device()], world) as pipeline:
            for offset in range(5):
                for partition in (0, 1):
                    m = message(offset, partition=partition)
                    await pipeline.submit(m, world.ack(m))
            await pipeline.drain()
        for partition in (0, 1):
            mine = [(source[2], result) for source, result in world.published if source[1] == partition]
            assert mine == [(offset, offset * 2) for offset in range(5)]
            assert [offset for _, p, offset in world.acked if p == partition] == list(range(5))

    run_virtual(main())


def test_ack_waits_for_delivery():
    """Nothing is acknowledged before its delivery, and a slow first delivery holds the later acks."""

    async def main():
        world = World()
        futures = {}

        def deliver(source):
            futures[source[2]] = asyncio.get_running_loop().create_future()
            return futures[source[2]]

        world.deliver = deliver
        async with running([OFFSET], world) as pipeline:
            for offset in range(3):
                m = message(offset)
                await pipeline.submit(m, world.ack(m))
            await asyncio.sleep(1)
            assert sorted(futures) == [0, 1, 2], "deliveries must overlap"
            futures[2].set_result(None)
            futures[1].set_result(None)
            await asyncio.sleep(1)
            assert world.acked == []
            futures[0].set_result(None)
            await pipeline.drain()
        assert [offset for _, _, offset in world.acked] == [0, 1, 2]

    run_virtual(main())


def test_poison_goes_to_the_dead_letters_in_its_turn():
    """A bad item is a Failure with its stage; its neighbours are published; all are acknowledged in order."""

    def cpu(m):
        if m.offset == 1:
            raise Poison("no such garment", field="image")
        return m.offset

    async def main():
        world = World()
        async with running([CpuStage("decode", cpu)], world) as pipeline:
            for offset in range(3):
                m = message(offset)
                await pipeline.submit(m, world.ack(m))
            await pipeline.drain()
        (failure,) = world.dead
        assert (failure.message.offset, failure.stage, failure.error.field) == (1, "decode", "image")
        assert [source[2] for source, _ in world.published] == [0, 2]
        assert [offset for _, _, offset in world.acked] == [0, 1, 2]

    run_virtual(main())


def test_unknown_exception_of_a_thread_is_the_items_fault():
    """A KeyError, and a codec's OSError without errno, become failures named after their class."""

    def cpu(m):
        raise KeyError("x") if m.offset == 0 else OSError("image file is truncated")

    async def main():
        world = World()
        async with running([CpuStage("decode", cpu)], world) as pipeline:
            for offset in range(2):
                m = message(offset)
                await pipeline.submit(m, world.ack(m))
            await pipeline.drain()
        assert [type(failure.cause).__name__ for failure in world.dead] == ["KeyError", "OSError"]

    run_virtual(main())


@pytest.mark.parametrize(
    "error", [Retryable("away"), ConnectionResetError("gone"), OSError(28, "full"), TimeoutError()]
)
def test_trouble_that_is_not_the_items_fault_is_retried_until_it_passes(error):
    """A store that is away for long costs time; nothing reaches the dead letters; another partition goes on."""
    attempts = []

    async def fetch(m):
        if m.partition == 0:
            attempts.append(asyncio.get_running_loop().time())
            if attempts[-1] < 60:
                raise error
        return m.offset

    async def main():
        world = World()
        async with running([IoStage("fetch", fetch)], world) as pipeline:
            for partition in (0, 1):
                m = message(0, partition=partition)
                await pipeline.submit(m, world.ack(m))
            await asyncio.sleep(30)
            assert world.acked == [("in", 1, 0)]
            await pipeline.drain()
        assert world.dead == []
        assert world.acked == [("in", 1, 0), ("in", 0, 0)]
        gaps = [later - earlier for earlier, later in itertools.pairwise(attempts)]
        assert gaps[0] <= 0.1
        assert max(gaps) <= 5.0
        assert len(attempts) < 40, "back-off must grow"

    run_virtual(main())


def test_fatal_ends_the_pipeline_and_every_waiter_learns_it():
    """run() raises, a submitter waiting for credits gets an exception, nothing is acknowledged."""

    async def io(m):
        await asyncio.sleep(1)
        raise Fatal("weights are broken")

    async def main():
        world = World()
        async with running([IoStage("load", io)], world, items=1) as pipeline:
            m = message(0)
            await pipeline.submit(m, world.ack(m))
            with pytest.raises(PipelineClosed) as closed:
                await pipeline.submit(message(1), world.ack(message(1)))
            assert isinstance(closed.value.__cause__, Fatal)
            with pytest.raises(Fatal, match="weights"):
                await pipeline.owner
            with pytest.raises(Fatal):
                await pipeline.drain()
            assert pipeline.in_flight == 0
            assert pipeline.admission.held == 0
        assert world.acked == []

    run_virtual(main())


def test_a_cancellation_that_escapes_a_stage_is_fatal():
    """Otherwise its message would never have an outcome, and its partition would wait for ever."""

    async def io(m):
        raise asyncio.CancelledError

    async def main():
        world = World()
        async with running([IoStage("odd", io)], world) as pipeline:
            await pipeline.submit(message(0), world.ack(message(0)))
            with pytest.raises(Fatal, match="cancelled from outside"):
                await pipeline.owner

    run_virtual(main())


def test_out_of_credits_the_reader_stops():
    """submit() waits until bytes come back; a message above the whole budget goes alone."""

    async def io(m):
        await asyncio.sleep(1)
        return m.offset

    async def main():
        world = World()
        sizes = {0: 60, 1: 60, 2: 500}
        async with running([IoStage("io", io)], world, budget=100, charge=lambda m: sizes[m.offset]) as pipeline:
            times = []
            for offset in range(3):
                m = message(offset)
                await pipeline.submit(m, world.ack(m))
                times.append(asyncio.get_running_loop().time())
            assert times == [0.0, 1.0, 2.0]
            await pipeline.drain()
            assert pipeline.admission.held == 0
        assert len(world.acked) == 3

    run_virtual(main())


def test_decoded_pixels_replace_encoded_bytes():
    """A stage's `size` resizes the credits of its message."""

    async def main():
        world = World()
        world.deliver = lambda source: asyncio.get_running_loop().create_future()
        stage = CpuStage("decode", lambda m: b"p" * 5000, size=len)
        async with running([stage], world) as pipeline:
            await pipeline.submit(message(0), world.ack(message(0)))
            before = pipeline.admission.held
            await asyncio.sleep(1)
            assert pipeline.admission.held >= 5000 > before - 2048

    run_virtual(main())


def test_done_skips_the_rest():
    """A delete, or a memoised answer, does not visit the device."""

    async def main():
        world = World()
        seen = []

        def run(batch):
            seen.extend(batch)
            return batch

        first = CpuStage("recall", lambda m: Done("memo") if m.offset == 0 else m.offset)
        async with running([first, device(run)], world) as pipeline:
            for offset in range(2):
                m = message(offset)
                await pipeline.submit(m, world.ack(m))
            await pipeline.drain()
        assert [result for _, result in world.published] == ["memo", 1]
        assert seen == [1]

    run_virtual(main())


def test_a_lost_delivery_is_sent_again_with_everything_after_it():
    """Go back: the last record of a product on the topic must be its newest."""

    async def main():
        world = World()
        failures = [ConnectionError("broker away")]

        def deliver(source):
            future = asyncio.get_running_loop().create_future()
            if source[2] == 0 and failures:
                asyncio.get_running_loop().call_later(1, future.set_exception, failures.pop())
            else:
                future.set_result(None)
            return future

        world.deliver = deliver
        async with running([OFFSET], world) as pipeline:
            for offset in range(3):
                m = message(offset)
                await pipeline.submit(m, world.ack(m))
            await pipeline.drain()
        assert [source[2] for source, _ in world.published] == [0, 1, 2, 0, 1, 2]
        assert [offset for _, _, offset in world.acked] == [0, 1, 2]

    run_virtual(main())


def test_a_new_result_does_not_slip_between_repeated_ones():
    """While lost records are sent again, a result that has just come waits for its turn."""

    async def fetch(m):
        await asyncio.sleep(1.5 if m.offset == 2 else 0)
        return m.offset

    async def main():
        world = World()
        accept, lost = world.publish, [ConnectionError("broker away")]

        async def publish(m, result):
            if m.offset == 1:
                await asyncio.sleep(1)  # the producer's buffer is full
            return await accept(m, result)

        def deliver(source):
            future = asyncio.get_running_loop().create_future()
            if source[2] == 0 and lost:
                asyncio.get_running_loop().call_later(1, future.set_exception, lost.pop())
            else:
                future.set_result(None)
            return future

        world.publish, world.deliver = publish, deliver
        async with running([IoStage("fetch", fetch)], world) as pipeline:
            for offset in range(3):
                m = message(offset)
                await pipeline.submit(m, world.ack(m))
            await pipeline.drain()
        assert [source[2] for source, _ in world.published] == [0, 1, 0, 1, 2]

    run_virtual(main())


def test_a_result_that_cannot_be_published_is_a_dead_letter():
    """A record too large for the broker is the item's fault, whether send() or its delivery says so."""

    async def main():
        world = World()
        accept = world.publish

        async def publish(m, result):
            if m.offset == 0:
                raise Poison("record too large")
            return await accept(m, result)

        def deliver(source):
            future = asyncio.get_running_loop().create_future()
            if source[2] == 1 and not any(failure.message.offset == 1 for failure in world.dead):
                future.set_exception(Poison("record too large for the topic"))
            else:
                future.set_result(None)
            return future

        world.publish, world.deliver = publish, deliver
        async with running([OFFSET], world) as pipeline:
            for offset in range(3):
                m = message(offset)
                await pipeline.submit(m, world.ack(m))
            await pipeline.drain()
        assert [(failure.message.offset, failure.stage) for failure in world.dead] == [(0, "publish"), (1, "publish")]
        assert [offset for _, _, offset in world.acked] == [0, 1, 2]

    run_virtual(main())


def test_a_dead_letter_that_cannot_be_written_ends_the_process():
    """Going on would lose the message; only a person can help."""

    async def main():
        world = World()

        async def dead_letter(failure):
            raise Poison("too large")

        def cpu(m):
            raise Poison("bad")

        world.dead_letter = dead_letter
        async with running([CpuStage("cpu", cpu)], world) as pipeline:
            await pipeline.submit(message(0), world.ack(message(0)))
            with pytest.raises(Fatal, match="dead letter"):
                await pipeline.owner
        assert world.acked == []

    run_virtual(main())


def test_a_pipeline_knows_for_how_long_nothing_has_gone_on():
    """Empty it is never still; a stage that is tried again goes on; one that hangs does not."""

    async def io(m):
        if m.offset == 0:
            if asyncio.get_running_loop().time() < 600:
                raise Retryable("store away")
            return 0
        return await asyncio.Event().wait()

    async def main():
        world = World()
        async with running([IoStage("io", io)], world) as pipeline:
            assert pipeline.still_for == 0
            await pipeline.submit(message(0), world.ack(message(0)))
            await asyncio.sleep(500)
            assert pipeline.still_for <= 5
            await asyncio.sleep(200)
            assert (pipeline.in_flight, pipeline.still_for) == (0, 0)
            await pipeline.submit(message(1), world.ack(message(1)))
            await asyncio.sleep(300)
            assert pipeline.still_for == 300

    run_virtual(main())


def test_what_each_shop_costs_is_told():
    """Messages, bytes held, and its share of the device's seconds by cost; two pipelines beside each other count once."""

    class ByShop(NullObserver):
        def __init__(self):
            self.done, self.seconds, self.held = [], {}, {}

        def shop_done(self, shop):
            self.done.append(shop)

        def shop_charged(self, shop, stage, seconds):
            self.seconds[shop] = self.seconds.get(shop, 0) + seconds

        def shop_credits(self, shop, held):
            self.held.setdefault(shop, []).append(held)

    async def main():
        world, told = World(), ByShop()
        stages = [device(lambda batch: [m.offset for m in batch], cost=lambda m: 3 if m.partition else 1, max_items=8)]
        async with running(
            stages, world, observer=told, shop_of=lambda m: "large" if m.partition else "small"
        ) as pipeline:
            for partition in (0, 1, 1):
                m = message(len(told.held), partition=partition)
                await pipeline.submit(m, world.ack(m))
            await pipeline.drain()
        assert sorted(told.done) == ["large", "large", "small"]
        assert set(told.seconds) == {"large", "small"}
        assert all(held[0] > 0 and held[-1] == 0 for held in told.held.values())

    run_virtual(main())
