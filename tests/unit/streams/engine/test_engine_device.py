"""The device: when batches close, who goes first, how bad items are found."""

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from processors.errors import Fatal, Poison, Retryable
from streams.engine.attempts import Engine
from streams.engine.credits import Credits
from streams.engine.device import Device
from streams.engine.pipeline import Pipeline
from streams.engine.stages import CpuStage, DeviceStage, IoStage
from streams.wiring.parts import loaded
from tests.fixtures.engines import World, message, running
from tests.fixtures.virtual_time import InlineExecutor, run_virtual


class Slow(InlineExecutor):
    """A device whose batches take a second of virtual time."""

    def submit(self, fn, /, *args, **kwargs):
        done = super().submit(fn, *args, **kwargs)
        later = type(done)()
        later.set_running_or_notify_cancel()

        def copy():
            if done.exception() is None:
                later.set_result(done.result())
            else:
                later.set_exception(done.exception())

        asyncio.get_running_loop().call_later(1, copy)
        return later


def recorder(batches, name=""):
    def run(batch):
        batches.append((name, list(batch)) if name else list(batch))
        return [item * 10 for item in batch]

    return run


async def submit_all(batcher, items):
    return await asyncio.gather(*(batcher.submit(item) for item in items))


def test_batches_fill_while_the_device_is_busy():
    """The first goes alone at once; what comes meanwhile goes together, up to max_items."""

    async def main():
        batches = []
        async with Device(executor=Slow()) as device:
            batcher = device.attach(DeviceStage("m", recorder(batches), max_items=3), "backfill")
            first = asyncio.create_task(batcher.submit(0))
            await asyncio.sleep(0.5)
            assert await submit_all(batcher, range(1, 6)) == [10, 20, 30, 40, 50]
            assert await first == 0
        assert batches == [[0], [1, 2, 3], [4, 5]]

    run_virtual(main())


def test_cost_closes_a_batch_and_a_large_item_goes_alone():
    """The sum of costs stays within max_cost, except for a single item that is larger by itself."""

    async def main():
        batches = []
        async with Device(executor=Slow()) as device:
            stage = DeviceStage("m", recorder(batches), max_items=99, max_cost=10, cost=lambda item: item)
            batcher = device.attach(stage, "backfill")
            await submit_all(batcher, [4, 5, 3, 25, 1])
        assert batches == [[4, 5], [3], [25], [1]]

    run_virtual(main())


def test_an_idle_device_waits_for_what_is_coming_until_the_deadline():
    """With more on its way the first item waits, but not longer than wait_s; with nothing coming it does not wait."""

    async def main():
        batches, times = [], []

        def run(batch):
            times.append(asyncio.get_running_loop().time())
            return recorder(batches)(batch)

        async def fetch(m):
            await asyncio.sleep({0: 0, 1: 0.01, 2: 5}[m.offset])
            return m.offset

        world = World()
        stages = [IoStage("fetch", fetch), DeviceStage("m", run, wait_s=0.02)]
        async with running(stages, world) as pipeline:
            for offset in range(3):
                m = message(offset)
                await pipeline.submit(m, world.ack(m))
            await pipeline.drain()
        assert batches == [[0, 1], [2]]
        assert times[0] == pytest.approx(0.02)
        assert times[1] == pytest.approx(5.0), "nothing was coming: it must not wait"

    run_virtual(main())


@pytest.mark.parametrize(("every", "most", "longest"), [(0.006, 14, 0.08), (0.015, 2, 0.02), (0.05, 1, 0.0)])
def test_what_comes_steadily_is_waited_for(every, most, longest):
    """More often than one in `linger_s`: then a batch waits so long, and no longer; four times as long for what comes nearly twice as often.
    What comes seldom goes at once.
    """

    async def main():
        batches = []
        loop = asyncio.get_running_loop()
        async with Device(executor=InlineExecutor()) as device:
            stage = DeviceStage("m", recorder(batches), wait_s=0.002, linger_s=0.02)
            batcher = device.attach(stage, "query")
            took = []

            async def one(item):
                started = loop.time()
                assert await batcher.submit(item) == item * 10
                took.append(loop.time() - started)

            asked = []
            for item in range(80):
                asked.append(asyncio.create_task(one(item)))
                await asyncio.sleep(every)
            await asyncio.gather(*asked)
        assert [item for batch in batches for item in batch] == list(range(80))
        assert max(map(len, batches)) == pytest.approx(most, abs=1 if most > 1 else 0)
        assert len(batches[0]) == 1, "nothing is known of the first"
        assert max(took) == pytest.approx(longest, abs=1e-4)

    run_virtual(main())


def test_a_steady_stream_that_ends_is_forgotten():
    """After two pauses nothing waits any more for what does not come."""

    async def main():
        batches, took = [], []
        loop = asyncio.get_running_loop()
        async with Device(executor=InlineExecutor()) as device:
            batcher = device.attach(DeviceStage("m", recorder(batches), linger_s=0.02), "query")
            await submit_all(batcher, range(16))
            for item in range(4):
                await asyncio.sleep(1)
                started = loop.time()
                await batcher.submit(item)
                took.append(loop.time() - started)
        assert took[-1] == 0.0

    run_virtual(main())


def test_a_thread_is_not_asked_for_what_is_known():
    """Of a `CpuStage` with `known`, items that it answers stay on the event loop."""

    async def main():
        here, asked = threading.get_ident(), []

        def known(m):
            return f"known {m.offset}" if m.offset % 2 else None

        def run(m):
            asked.append((m.offset, threading.get_ident() == here))
            return f"run {m.offset}"

        world = World()
        async with running([CpuStage("c", run, known=known)], world) as pipeline:
            for offset in range(4):
                m = message(offset)
                await pipeline.submit(m, world.ack(m))
            await pipeline.drain()
        assert [offset for offset, _ in asked] == [0, 2]
        assert [result for _, result in world.published] == ["run 0", "known 1", "run 2", "known 3"]

    run_virtual(main())


def test_queries_overtake_backfill():
    """Of two waiting queues the query's is served first, whoever came first."""

    async def main():
        batches = []
        async with Device(executor=Slow()) as device:
            slow = device.attach(DeviceStage("b", recorder(batches, "b"), max_items=2), "backfill")
            fast = device.attach(DeviceStage("q", recorder(batches, "q"), max_items=2), "query")
            backfill = asyncio.create_task(submit_all(slow, range(5)))
            await asyncio.sleep(0.5)
            await submit_all(fast, [7, 8])
            assert asyncio.get_running_loop().time() < 3
            await backfill
        assert batches == [("b", [0, 1]), ("q", [7, 8]), ("b", [2, 3]), ("b", [4])]

    run_virtual(main())


def test_equals_share_the_device_by_deadline():
    """Two stages of one priority: the one whose first item has waited longest goes next."""

    async def main():
        batches = []
        async with Device(executor=Slow()) as device:
            one = device.attach(DeviceStage("1", recorder(batches, "1"), max_items=1), "backfill")
            two = device.attach(DeviceStage("2", recorder(batches, "2"), max_items=1), "backfill")
            first = asyncio.create_task(submit_all(one, [0]))
            await asyncio.sleep(0.1)
            second = asyncio.create_task(submit_all(two, [1]))
            await asyncio.sleep(0.1)
            third = asyncio.create_task(submit_all(one, [2]))
            await asyncio.gather(first, second, third)
        assert batches == [("1", [0]), ("2", [1]), ("1", [2])]

    run_virtual(main())


@pytest.mark.parametrize("error", [Poison("bad"), ValueError("bad"), MemoryError("full")])
def test_halving_finds_exactly_the_bad_items(error):
    """Two of sixteen are bad: they alone get the exception, the others their results, in few runs."""

    async def main():
        runs = []

        def run(batch):
            runs.append(len(batch))
            if 3 in batch or 11 in batch:
                raise error
            return batch

        async with Device(executor=InlineExecutor()) as device:
            batcher = device.attach(DeviceStage("m", run), "backfill")
            results = await asyncio.gather(*(batcher.submit(n) for n in range(16)), return_exceptions=True)
        assert [n for n, result in enumerate(results) if isinstance(result, Exception)] == [3, 11]
        assert results[3] is error
        assert [result for n, result in enumerate(results) if n not in {3, 11}] == [
            n for n in range(16) if n not in {3, 11}
        ]
        assert len(runs) <= 1 + 2 * 2 * 4

    run_virtual(main())


def test_memory_that_never_suffices_is_the_items_fault():
    """A single item that does not fit the device becomes a failure instead of blocking its partition for ever."""

    def run(batch):
        raise MemoryError

    async def main():
        world = World()
        async with running([DeviceStage("m", run)], world) as pipeline:
            await pipeline.submit(message(0), world.ack(message(0)))
            await pipeline.drain()
        assert [type(failure.cause) for failure in world.dead] == [MemoryError]

    run_virtual(main())


def test_too_few_results_end_the_process():
    """A model that loses an item would give the next ones the wrong captions."""

    async def main():
        async with Device(executor=InlineExecutor()) as device:
            batcher = device.attach(DeviceStage("m", lambda batch: list(batch)[1:]), "backfill")
            with pytest.raises(Fatal, match="1 results for 2 items"):
                await submit_all(batcher, [1, 2])

    run_virtual(main())


def test_a_device_that_stops_tells_its_waiters():
    """Nobody waits for ever for a device that is gone, and nobody can start to."""

    async def main():
        async with Device(executor=Slow()) as device:
            batcher = device.attach(DeviceStage("m", lambda batch: batch, max_items=1), "backfill")
            waiting = [asyncio.create_task(batcher.submit(n)) for n in range(3)]
            await asyncio.sleep(0.5)
        for task in waiting:
            with pytest.raises(Fatal):
                await task
        with pytest.raises(Fatal, match="not running"):
            await batcher.submit(9)

    run_virtual(main())


def test_cancelled_items_do_not_reach_the_device():
    """An aborted message costs no device time."""

    async def main():
        batches = []
        async with Device(executor=Slow()) as device:
            batcher = device.attach(DeviceStage("m", recorder(batches), max_items=4), "backfill")
            first = asyncio.create_task(batcher.submit(0))
            await asyncio.sleep(0.1)
            waiting = [asyncio.create_task(batcher.submit(n)) for n in (1, 2, 3)]
            await asyncio.sleep(0.1)
            waiting[0].cancel()
            await first
            assert await waiting[1] == 20
        assert batches == [[0], [2, 3]]

    run_virtual(main())


async def test_the_loop_stays_free_while_the_device_works():
    """In real threads: batches run outside the event loop, one at a time, always in the same thread."""
    import threading

    threads, running_now, overlaps = set(), [], []

    def run(batch):
        overlaps.append(len(running_now))
        running_now.append(1)
        threads.add(threading.get_ident())
        running_now.pop()
        return batch

    world = World()
    with ThreadPoolExecutor(2) as cpu:
        stages = [CpuStage("prepare", lambda m: m.offset), DeviceStage("a", run), DeviceStage("b", run)]
        async with Device() as device:
            pipeline = Pipeline(
                "real",
                stages,
                publish=world.publish,
                dead_letter=world.dead_letter,
                admission=Credits(10**6),
                engine=Engine(device, cpu),
            )
            owner = asyncio.create_task(pipeline.run())
            for offset in range(100):
                m = message(offset, partition=offset % 3)
                await pipeline.submit(m, world.ack(m))
            await pipeline.drain()
            await owner
    assert len(world.acked) == 100
    assert len(threads) == 1
    assert threads != {threading.get_ident()}
    assert set(overlaps) == {0}


@pytest.mark.parametrize(
    "trouble",
    [Retryable("the device is lent to others"), ConnectionResetError("remote device"), OSError(5, "I/O error")],
)
def test_trouble_that_passes_is_not_halved(trouble):
    """Sixteen items, one run, sixteen waiters that know it; halving would run thirty-one times before the first pause."""

    async def main():
        runs = []

        def run(batch):
            runs.append(len(batch))
            raise trouble

        async with Device(executor=InlineExecutor()) as device:
            batcher = device.attach(DeviceStage("m", run, max_items=16), "backfill")
            for _ in range(16):
                batcher.expect()
            waiting = [asyncio.create_task(batcher.submit(n)) for n in range(16)]
            await asyncio.sleep(0)
            for _ in range(16):
                batcher.arrived()
            errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert errors == [trouble] * 16
        assert runs == [16]

    run_virtual(main())


class Hung(InlineExecutor):
    """A device whose driver never returns."""

    def submit(self, fn, /, *args, **kwargs):
        return Future()


def test_a_batch_that_hangs_ends_the_device_and_everybody_who_waits_for_it():
    """Past the limit a Fatal that names the stage and the setting; what waits behind it, and what comes later, too."""

    async def main():
        async with Device(executor=Hung(), limit_s=30.0) as device:
            batcher = device.attach(DeviceStage("write", lambda batch: batch, max_items=1), "backfill")
            other = device.attach(DeviceStage("embed", lambda batch: batch), "backfill")
            waiting = [asyncio.create_task(b.submit(1)) for b in (batcher, batcher, other)]
            await asyncio.sleep(29)
            assert not any(task.done() for task in waiting)
            for task in waiting:
                with pytest.raises(Fatal, match=r"write has held the device for 30 s .*WEFT_DEVICE_SECONDS"):
                    await task
            with pytest.raises(Fatal, match="write has held the device"):
                await batcher.submit(2)
        assert asyncio.get_running_loop().time() == 30

    run_virtual(main())


def test_a_pipeline_ends_with_the_device_that_hangs():
    """Nothing is acknowledged, and the role learns why it must end."""

    async def main():
        world = World()
        stages = [DeviceStage("write", lambda batch: batch)]
        async with running(stages, world, executor=Hung(), limit_s=30.0) as pipeline:
            await pipeline.submit(message(0), world.ack(message(0)))
            with pytest.raises(Fatal, match="write has held the device"):
                await pipeline.owner
        assert world.acked == []

    run_virtual(main())


def test_what_needs_no_device_does_not_wait_for_it():
    """A stage may know the result of an item beforehand; the others go in a batch of their own."""

    async def main():
        world = World()
        batches = []
        stage = DeviceStage("double", recorder(batches), known=lambda n: -n if n % 2 else None)
        async with running([CpuStage("offset", lambda m: m.offset), stage], world) as pipeline:
            for offset in range(1, 5):
                await pipeline.submit(message(offset), world.ack(message(offset)))
            await pipeline.drain()
        assert sorted(result for _, result in world.published) == [-3, -1, 20, 40]
        assert sorted(item for batch in batches for item in batch) == [2, 4]

    run_virtual(main())


async def test_a_model_that_is_never_loaded_ends_the_role():
    """Its warm-up is a call of the device as well; what it raises comes through."""
    never = threading.Event()
    try:
        with pytest.raises(Fatal, match="not been loaded"):
            await loaded(never.wait, 0.05)
    finally:
        never.set()
    assert await loaded(lambda: 7) == 7
    with pytest.raises(Fatal, match="broken weights"):
        await loaded(broken_weights)


def broken_weights():
    raise Fatal("broken weights")


def test_urgent_goes_first_and_leaves_one_batch_in_four():
    """Three in a row while backfill waits, then one of backfill: nobody stands still."""

    async def main():
        order = []
        async with Device(executor=Slow()) as device:
            later = device.attach(DeviceStage("m", recorder(order, "later"), max_items=1), "backfill")
            urgent = device.attach(DeviceStage("m", recorder(order, "urgent"), max_items=1), "urgent")
            first = asyncio.create_task(later.submit(0))
            await asyncio.sleep(0.5)
            await asyncio.gather(submit_all(later, range(1, 4)), submit_all(urgent, range(10, 19)), first)
        names = [name for name, _ in order]
        assert names == ["later", *["urgent"] * 3, "later", *["urgent"] * 3, "later", *["urgent"] * 3, "later"]

    run_virtual(main())


def test_backfill_runs_in_small_batches_while_something_urgent_is_on_its_way():
    """A batch cannot be interrupted: what is urgent must not find a long one running."""

    async def main():
        batches = []
        async with Device(executor=Slow()) as device:
            later = device.attach(DeviceStage("m", recorder(batches), max_items=16), "backfill")
            urgent = device.attach(DeviceStage("m", recorder([]), max_items=16), "urgent")
            urgent.expect()
            await submit_all(later, range(8))
            urgent.arrived()
            await submit_all(later, range(8))
        assert [len(batch) for batch in batches] == [4, 4, 8]

    run_virtual(main())


class Steps:
    """A model whose batches take a step an item, and which gives way between them."""

    def __init__(self, device):
        self.device, self.begun, self.log, self.broken = device, threading.Event(), [], set()
        self.go = threading.Semaphore(0)

    def run(self, batch):
        for item in batch:
            self.begun.set()
            if item >= 0:
                self.go.acquire()
                self.device.give_way()
            if item in self.broken:
                self.broken.discard(item)
                raise RuntimeError("the first time only")
            self.log.append(item)
        return [item * 10 for item in batch]


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (another thread tells nobody)
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("broken", [False, True])
async def test_a_batch_that_gives_way_lets_urgent_ones_through(broken):
    """Between two of its steps, on its own thread; one that fails there is run again by itself."""
    async with Device() as device:
        model = Steps(device)
        model.broken = {-1} if broken else set()
        stage = DeviceStage("m", model.run, max_items=8, gives_way=True)
        later, urgent = device.attach(stage, "backfill"), device.attach(stage, "urgent")
        long = asyncio.create_task(submit_all(later, range(4)))
        await asyncio.to_thread(model.begun.wait)
        soon = asyncio.create_task(urgent.submit(-1))
        await until(lambda: device._express)
        model.go.release()
        if not broken:
            assert await soon == -10
            assert model.log[0] == -1
            assert not long.done()
        model.go.release(3)
        assert await long == [0, 10, 20, 30]
        assert await soon == -10


async def test_what_no_step_took_is_run_after_the_batch():
    """A model that gives way once too rarely loses nothing."""
    async with Device() as device:
        model = Steps(device)
        silent = DeviceStage("m", lambda batch: (model.begun.set(), model.go.acquire(), list(batch))[2], gives_way=True)
        later, urgent = device.attach(silent, "backfill"), device.attach(DeviceStage("m", model.run), "urgent")
        long = asyncio.create_task(later.submit(1))
        await asyncio.to_thread(model.begun.wait)
        soon = asyncio.create_task(urgent.submit(-1))
        await until(lambda: device._express)
        model.go.release()
        assert await long == 1
        assert await soon == -10
