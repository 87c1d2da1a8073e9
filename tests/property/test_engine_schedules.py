"""Random schedules, failures and bad items: never lost, in order, exactly one outcome each, all credits back."""

import asyncio
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.errors import Poison, Retryable
from streams.engine.stages import CpuStage, DeviceStage, Done, IoStage
from tests.fixtures.engines import World, message, running
from tests.fixtures.virtual_time import run_virtual

PLANS = st.lists(
    st.fixed_dictionaries(
        {
            "partition": st.integers(0, 2),
            "seconds": st.floats(0, 3, allow_nan=False),
            "fate": st.sampled_from(
                ["ok", "ok", "ok", "done", "poison_io", "poison_cpu", "bad_device", "retry_io", "retry_device"]
            ),
            "delivery": st.sampled_from(["ok", "ok", "slow", "lost", "too_large", "send_fails"]),
            "pause": st.floats(0, 1, allow_nan=False),
        }
    ),
    min_size=1,
    max_size=30,
)


class Chaos(World):
    """The broker and the models of one plan; every trouble that passes, passes after two attempts."""

    def __init__(self, plan):
        super().__init__()
        self.plan = plan
        self.attempts = {}
        self.rng = random.Random(1)

    def first_times(self, what, number, times=2):
        count = self.attempts[what, number] = self.attempts.get((what, number), 0) + 1
        return count <= times

    def number_of(self, source):
        return source[2]

    async def io(self, m):
        step = self.plan[m.offset]
        await asyncio.sleep(step["seconds"])
        if step["fate"] == "retry_io" and self.first_times("io", m.offset):
            raise ConnectionError("store away")
        if step["fate"] == "poison_io":
            raise Poison("no such image", field="image.uri")
        return Done(("done", m.offset)) if step["fate"] == "done" else m.offset

    def cpu(self, number):
        if self.plan[number]["fate"] == "poison_cpu":
            raise ValueError("truncated")
        return number

    def device(self, batch):
        for number in batch:
            fate = self.plan[number]["fate"]
            if fate == "bad_device":
                raise RuntimeError("kernel assert")
            if fate == "retry_device" and self.first_times("device", number, 3):
                raise Retryable("out of memory")
        return [("model", number) for number in batch]

    async def publish(self, m, result):
        if self.plan[m.offset]["delivery"] == "send_fails" and self.first_times("send", m.offset):
            raise TimeoutError
        if self.plan[m.offset]["delivery"] == "slow":
            await asyncio.sleep(1)  # the producer's buffer is full
        return await super().publish(m, result)

    def deliver(self, source):
        future = asyncio.get_running_loop().create_future()
        number = self.number_of(source)
        delivery = self.plan[number]["delivery"]
        dead = any(failure.message.offset == number for failure in self.dead)
        error = None
        if delivery == "lost" and self.first_times("deliver", number):
            error = ConnectionError("broker away")
        elif delivery == "too_large" and not dead:
            error = Poison("record too large")
        if error:
            asyncio.get_running_loop().call_later(self.rng.random(), future.set_exception, error)
        else:
            asyncio.get_running_loop().call_later(self.rng.random(), future.set_result, None)
        return future

    def expected_failures(self):
        bad = {"poison_io": "io", "poison_cpu": "cpu", "bad_device": "device"}
        found = {}
        for number, step in enumerate(self.plan):
            if step["fate"] in bad:
                found[number] = bad[step["fate"]]
            elif step["delivery"] == "too_large":
                found[number] = "publish"
        return found

    def stages(self):
        return [
            IoStage("io", self.io, concurrency=4),
            CpuStage("cpu", self.cpu),
            DeviceStage("device", self.device, max_items=4, wait_s=0.1),
        ]


@settings(max_examples=150, deadline=None)
@given(plan=PLANS, items=st.integers(1, 8), budget=st.integers(1, 20_000))
def test_every_message_has_exactly_one_outcome(plan, items, budget):
    """Whatever happens: acked once and in order, failed exactly when it must, published otherwise, credits zero."""

    async def main():
        world = Chaos(plan)
        async with running(world.stages(), world, items=items, budget=budget) as pipeline:
            for number, step in enumerate(plan):
                m = message(number, partition=step["partition"])
                await pipeline.submit(m, world.ack(m))
                await asyncio.sleep(step["pause"])
            await pipeline.drain()
            assert pipeline.admission.held == 0
            assert pipeline.admission.items == 0
            assert pipeline.in_flight == 0
        assert sorted(number for _, _, number in world.acked) == list(range(len(plan)))
        for partition in range(3):
            mine = [number for _, p, number in world.acked if p == partition]
            assert mine == sorted(mine)
            _check_last_published(world, partition)
        failures = world.expected_failures()
        assert {failure.message.offset: failure.stage for failure in world.dead} == failures
        published = {source[2]: result for source, result in world.published}
        for number, step in enumerate(plan):
            if number not in failures:
                assert published[number] == ("done" if step["fate"] == "done" else "model", number)
            elif failures[number] != "publish":
                assert number not in published

    run_virtual(main())


def _check_last_published(world, partition):
    """The last copies of a partition's results stand in offset order, whatever was repeated."""
    last = {}
    for place, (source, _) in enumerate(world.published):
        if source[1] == partition:
            last[source[2]] = place
    failures = world.expected_failures()
    places = [place for number, place in sorted(last.items()) if number not in failures]
    assert places == sorted(places)


@settings(max_examples=75, deadline=None)
@given(plan=PLANS, when=st.floats(0, 10, allow_nan=False))
def test_abort_at_any_moment_keeps_the_promise(plan, when):
    """Aborted anywhere: what is acknowledged is a prefix of its partition, durable, and all credits come back."""

    async def main():
        world = Chaos(plan)
        async with running(world.stages(), world, items=4) as pipeline:

            async def feed():
                for number, step in enumerate(plan):
                    m = message(number, partition=step["partition"])
                    await pipeline.submit(m, world.ack(m))

            feeding = asyncio.create_task(feed())
            await asyncio.sleep(when)
            pipeline.abort()
            await pipeline.owner
            await asyncio.gather(feeding, return_exceptions=True)
            assert pipeline.admission.held == 0
            assert pipeline.admission.items == 0
        for partition in range(3):
            numbers = [number for number, step in enumerate(plan) if step["partition"] == partition]
            mine = [number for _, p, number in world.acked if p == partition]
            assert mine == numbers[: len(mine)]
        known = {source[2] for source, _ in world.published} | {failure.message.offset for failure in world.dead}
        assert {number for _, _, number in world.acked} <= known

    run_virtual(main())
