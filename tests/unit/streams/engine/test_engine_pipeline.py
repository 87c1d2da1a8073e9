"""The pipeline: order, failures, retries, credits, drain, abort, revocation."""

import asyncio
import itertools

import pytest

from processors.errors import Fatal, Poison, Retryable
from streams.engine.failures import PipelineClosed, Revoked, WorkAnew
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


# ---------------------------------------------------------------- results that are published at once


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
