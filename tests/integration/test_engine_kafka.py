"""The engine on the real Kafka: nothing lost, nothing doubled in what a reader sees, whatever happens to the process."""

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.settings import Settings
from processors.errors import Retryable
from streams.contract.records import Caption
from streams.engine.attempts import Engine
from streams.engine.credits import Credits
from streams.engine.device import Device
from streams.engine.pipeline import Pipeline
from streams.kafka.faust.app import consume
from streams.kafka.predecessor import take_out_predecessor
from streams.kafka.producer import open_producer
from streams.ops.admin import create_topics
from streams.roles.caption.mending import has_fallen
from tests.fakes.llm_server import LlmServer, Reply, completion
from tests.fixtures.captioning import GOOD, Captioning
from tests.fixtures.engine_role import (
    Role,
    members,
    settled,
    until_members,
    until_ready,
    until_stopped,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
async def role(kafka: str) -> Role:
    role = Role(kafka)
    await role.create()
    return role


async def test_kill_in_the_middle_loses_nothing(role: Role):
    """SIGKILL twice in 2,000 records with bad ones among them; the next process goes on where the commits are."""
    bad = frozenset({3, 777, 1500})
    await role.produce(2000, bad=bad)
    for reached in (300, 1200):
        with role.worker() as process:
            await role.outputs(reached)
            process.kill()
    with role.worker() as process:
        await settled(role)
        await until_stopped(process)
    await role.check(bad=bad)


async def test_a_worker_whose_loop_stands_still_loses_its_partitions(role: Role):
    """Its heartbeats go on in a thread of their own; another worker does its work all the same, within seconds."""
    with role.worker(WEFT_POLL_SECONDS="3", HANGS="yes") as first:
        await until_ready(first)
        await role.send(b"k0", b"hang")
        await role.produce(200, first=1)
        with role.worker(WEFT_POLL_SECONDS="3") as second:
            await settled(role)
            await until_stopped(second)
        assert first.poll() is None


async def test_a_worker_that_is_slow_and_full_keeps_its_partitions(role: Role):
    """It reads nothing for longer than a hung one is given; leaving the group, it would begin anew for ever."""
    async with open_producer(role.settings) as sender:
        # Two at once have room in the pipeline and twenty in the buffer before it, which is read again when ten of them are gone.
        large = b"slow 1" + b" " * 400_000
        sent = [await sender.send(role.input, key=f"k{n}".encode(), value=large) for n in range(40)]
        await asyncio.gather(*sent)
    with role.worker(WEFT_POLL_SECONDS="3") as process:
        await role.outputs(40, seconds=120.0)
        await settled(role)
        await until_stopped(process)
    assert await role.check() == 0, "none twice"


async def test_a_stopped_worker_leaves_nothing_to_repeat(role: Role):
    """SIGTERM in the middle drains, commits and leaves: not one record is sent twice, and the next worker waits for no session."""
    await role.produce(1500)
    with role.worker() as process:
        await role.outputs(200)
        await until_stopped(process)
    assert await members(role) == {}
    with role.worker() as process:
        await role.outputs(1500)
        await until_stopped(process)
    assert await role.check() == 0


async def test_workers_join_leave_and_die(role: Role):
    """Three workers, one of them stopped and one killed while records come: nothing lost, newest last for each key."""
    with role.worker() as first:
        await until_ready(first)
        await role.produce(1000)
        with role.worker() as second:
            await role.produce(1000, first=1000)
            await until_ready(second)
            with role.worker() as third:
                await role.produce(1000, first=2000)
                await until_ready(third)
                await until_stopped(second)
                await role.produce(1000, first=3000)
                third.kill()
            await role.produce(1000, first=4000)
            # The killed worker's partitions are taken over only after its session has timed out.
            await settled(role)
            await until_stopped(first)
    await role.check()


async def test_a_killed_worker_is_taken_out_by_the_next_of_its_name(role: Role):
    """Until its session ends, ten seconds after its last heartbeat, nobody else would be dealt its partitions."""
    await role.produce(300)
    with role.worker(WEFT_INSTANCE="enrich-0") as first:
        await until_ready(first)
        await role.outputs(100)
        (killed,) = await members(role)
        first.kill()
        first.wait()
        await role.produce(300, first=300)
        with role.worker(WEFT_INSTANCE="enrich-0") as second:
            await until_ready(second)
            now = await members(role)
            await settled(role)
            await until_stopped(second)
    assert killed not in now
    assert [client.endswith("-enrich-0") for client in now.values()] == [True]
    await role.check()


async def test_a_killed_worker_of_another_name_keeps_its_session(role: Role):
    """It may only be cut off for a moment. Who has no name of its own takes nobody out, nor does one of another name."""
    with role.worker() as nameless, role.worker(WEFT_INSTANCE="enrich-1") as other:
        await until_ready(nameless)
        await until_ready(other)
        before = await until_members(role, 2)
        assert (
            await take_out_predecessor(
                Settings(bootstrap_servers=role.settings.bootstrap_servers), role.group, role.group
            )
            == 0
        )
        named = Settings(bootstrap_servers=role.settings.bootstrap_servers, instance="enrich-2")
        assert await take_out_predecessor(named, role.group, role.group) == 0
        off = Settings(bootstrap_servers=role.settings.bootstrap_servers, instance="none")
        assert await take_out_predecessor(off, role.group, role.group) == 0
        assert await members(role) == before


async def test_two_workers_of_one_name_lose_nothing(role: Role):
    """A mistake of an operator: the second takes the first out, which joins again; both go on and share the work."""
    await role.produce(600)
    with role.worker(WEFT_INSTANCE="enrich-0") as first:
        await until_ready(first)
        await role.outputs(100)
        (taken,) = await members(role)
        with role.worker(WEFT_INSTANCE="enrich-0") as second:
            await until_ready(second)
            await role.produce(600, first=600)
            both = await until_members(role, 2)
            assert taken not in both
            assert (first.poll(), second.poll()) == (None, None)
            await settled(role)
            await until_stopped(second)
        await role.produce(100, first=1200)
        await settled(role)
        await until_stopped(first)
    await role.check()


async def test_taking_out_is_no_condition_of_a_start():
    """No broker, no right, no coordinator yet: the session of the dead one ends by itself."""
    nowhere = Settings(bootstrap_servers="127.0.0.1:9", instance="enrich-0")
    assert await take_out_predecessor(nowhere, "weft-enrich", "enrich") == 0


async def test_a_rebalance_does_not_wait_for_ever(role: Role, tmp_path: Path):
    """A message is stuck (its store is away) while another worker joins: the group goes on, and nothing is lost."""
    away = tmp_path / "away"
    away.touch()
    await role.produce(300)
    await role.send(b"k7", f"stuck {away}".encode())
    with role.worker() as first:
        await role.outputs(200)
        with role.worker() as second:
            await until_ready(second)
            await role.produce(300, first=300)
            # The partition of the stuck message stands still with all that came after it; the others do not.
            await role.outputs(400)
            away.unlink()
            await settled(role)
            await until_stopped(second)
        await until_stopped(first)
    await role.check()


async def test_what_waits_for_credits_when_its_partition_goes_is_published_by_the_next_owner_alone(
    role: Role, tmp_path: Path
):
    """All credits are held by records that are stuck, more wait for them, and another worker joins: no event comes twice."""
    away = tmp_path / "away"
    away.touch()
    async with open_producer(role.settings) as sender:
        value = f"stuck {away}".encode()
        await asyncio.gather(*[await sender.send(role.input, key=f"k{n}".encode(), value=value) for n in range(300)])
    with role.worker() as first:
        await until_ready(first)
        with role.worker() as second:
            await until_ready(second)
            assert await role.outputs(0) == 0
            away.unlink()
            await settled(role)
            await until_stopped(second)
        await until_stopped(first)
    assert await role.check() == 0


async def test_a_fatal_error_ends_the_process_and_commits_nothing_of_it(role: Role):
    """The process exits by itself with an error; what came before in other partitions is not lost either."""
    await role.produce(200)
    await role.send(b"k1", b"fatal")
    with role.worker() as process:
        assert await asyncio.to_thread(process.wait, 60) != 0
    inputs = {m.source: m for m in await role.read(role.input)}
    fatal = next(source for source, m in inputs.items() if m.value == b"fatal")
    committed = await role.committed()
    assert committed.get(fatal[1], 0) <= fatal[2]


async def test_a_broker_that_is_not_there_is_worth_another_try():
    """At the start: no hang, and an error that says to start the role again."""
    settings = Settings(bootstrap_servers="127.0.0.1:1")

    async def nothing(*_):
        return []

    with ThreadPoolExecutor(1) as cpu:
        async with Device() as device:
            pipeline = Pipeline(
                "role", (), publish=nothing, dead_letter=nothing, admission=Credits(1), engine=Engine(device, cpu)
            )
            with pytest.raises(Retryable, match="bootstrap"):
                await asyncio.wait_for(consume(["t"], "g", pipeline, settings=settings, stop=asyncio.Event()), 30)


async def test_captions_written_without_a_server_are_written_again(kafka: str, tmp_path: Path):
    """It is away, comes, dies and comes back, the worker is started again between: no product lacks its caption, each ends as the model's."""
    settings = Settings(
        bootstrap_servers=kafka,
        topic_prefix=f"served-{uuid.uuid4().hex[:8]}.",
        data_dir=tmp_path / "data",
        profile="fake",
        partitions=2,
    )
    await create_topics(settings)
    first, second = [f"a{n}" for n in range(8)], [f"b{n}" for n in range(8)]

    def all_by(writer: str, *products: str) -> Callable[[dict[str, Caption]], bool]:
        return lambda found: all(one in found and found[one].writer == writer for one in products)

    with LlmServer(lambda _: Reply(500)) as server:
        role = Captioning(settings, server)
        await role.add(first)
        async with role.running():
            found = await role.until(all_by("template", *first))
            assert all(has_fallen(found[one]) for one in first)
            await role.until_told("server_error", shown=True)
            assert role.health.report().healthy, "degraded is not dead"
            server.answer = lambda _: completion(GOOD)
            await role.until(all_by("llm", *first))
            await role.until_told("language model", shown=False)
            assert role.value("weft_server_requests_total", model="writer", outcome="answered") >= len(first)
            server.stop()
            await role.add(second)
            await role.until(all_by("template", *second))
        server.start()
        async with role.running():
            await role.until(all_by("llm", *first, *second))
