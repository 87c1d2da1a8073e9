"""The engine on the real Kafka: nothing lost, nothing doubled in what a reader sees, whatever happens to the process."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from infra.settings import Settings
from processors.errors import Retryable
from streams.contract.records import Caption
from streams.contract.topics import DEAD_LETTERS, TopicSpec
from streams.engine.attempts import Engine
from streams.engine.credits import Credits
from streams.engine.device import Device
from streams.engine.message import Message
from streams.engine.observer import NullObserver
from streams.engine.pipeline import Pipeline
from streams.kafka.client import Reader
from streams.kafka.faust.app import consume
from streams.kafka.options import client_options
from streams.kafka.predecessor import take_out_predecessor
from streams.kafka.producer import open_producer
from streams.ops.admin import create_topics, list_topics
from streams.roles.caption.mending import has_fallen
from tests.fakes.llm_server import LlmServer, Reply, completion
from tests.fixtures import engine_worker
from tests.fixtures.captioning import GOOD, Captioning

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PARTITIONS = 6


class Role:
    """Topics of its own on the shared broker, and worker processes of tests.fixtures.engine_worker."""

    def __init__(self, bootstrap: str) -> None:
        name = uuid.uuid4().hex[:8]
        self.settings = Settings(bootstrap_servers=bootstrap, partitions=PARTITIONS)
        self.input, self.output, self.group = f"in-{name}", f"out-{name}", f"group-{name}"

    async def create(self) -> None:
        specs = [TopicSpec(name, "raw", "delete") for name in (self.input, self.output, DEAD_LETTERS)]
        await create_topics(self.settings, specs)

    @contextmanager
    def worker(self, **settings: str) -> Iterator[subprocess.Popen[str]]:
        """One process; killed at the end if it still runs."""
        command = [sys.executable, "-m", "tests.fixtures.engine_worker", self.settings.bootstrap_servers]
        process = subprocess.Popen(
            [*command, self.input, self.output, self.group],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", **settings},
        )
        try:
            yield process
        except BaseException:
            if process.poll() is None:
                process.send_signal(signal.SIGUSR1)  # it says where it stands, beside its log
                time.sleep(1.0)
            raise
        finally:
            process.kill()
            process.communicate()

    async def produce(self, count: int, *, bad: frozenset[int] = frozenset(), keys: int = 100, first: int = 0) -> None:
        """Values v0, v1 …; every 50th is a delete."""
        async with open_producer(self.settings) as sender:
            deliveries = []
            for number in range(first, first + count):
                value = b"bad" if number in bad else None if number % 50 == 49 else f"v{number}".encode()
                key = f"k{number % keys}".encode()
                deliveries.append(await sender.send(self.input, key=key, value=value))
            await asyncio.gather(*deliveries)

    async def send(self, key: bytes, value: bytes) -> None:
        """One more record."""
        async with open_producer(self.settings) as sender:
            await (await sender.send(self.input, key=key, value=value))

    async def committed(self) -> dict[int, int]:
        """The group's offsets of the input topic."""
        admin = AIOKafkaAdminClient(**client_options(self.settings))
        await admin.start()
        try:
            offsets = await admin.list_consumer_group_offsets(self.group)
        finally:
            await admin.close()
        return {place.partition: found.offset for place, found in offsets.items() if place.topic == self.input}

    async def read(self, topic: str) -> list[Message]:
        """Everything that is on the topic now."""
        async with Reader(self.settings, topic) as reader:
            return [message async for message in reader.to_end()]

    async def outputs(self, at_least: int, *, seconds: float = 60.0) -> int:
        """Wait until the output topic holds that many records."""
        deadline = time.monotonic() + seconds
        while (count := (await list_topics(self.settings, [self.output]))[0].messages) < at_least:
            assert time.monotonic() < deadline, f"{count} of {at_least} outputs after {seconds} s"
            await asyncio.sleep(0.1)
        return count

    async def check(self, *, bad: frozenset[int] = frozenset()) -> int:
        """Each input has its output or its dead letter, once per event id; returns how many were sent again."""
        inputs = await self.read(self.input)
        outputs = await self.read(self.output)
        seen: dict[str, tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]] = {}
        for record in outputs:
            event = (record.header("ce_id") or b"").decode()
            assert seen.setdefault(event, (record.key, record.value, record.headers)) == (
                record.key,
                record.value,
                record.headers,
            ), "the same event twice, with different contents"
        good = [m for m in inputs if m.value != b"bad"]
        assert len(inputs) - len(good) == len(bad)
        assert {m.event_id("test"): m.value.upper() if m.value is not None else None for m in good} == {
            event: value for event, (_, value, _) in seen.items()
        }
        letters = [
            m for m in await self.read(DEAD_LETTERS) if m.header("__connect.errors.topic") == self.input.encode()
        ]
        assert {m.header("__connect.errors.offset") for m in letters} == {
            str(m.offset).encode() for m in inputs if m.value == b"bad"
        }
        assert all(m.value == b"bad" and m.header("__connect.errors.stage") == b"decode" for m in letters)
        self._newest_last(good, outputs)
        return len(outputs) - len(seen)

    def _newest_last(self, inputs: list[Message], outputs: list[Message]) -> None:
        """What a compacted topic would keep of each key is what its newest input made."""
        newest = {m.key: f"{m.partition}/{m.offset}".encode() for m in inputs}
        last = {m.key: m.header("from") for m in outputs}
        assert last == newest


@pytest.fixture
async def role(kafka: str) -> Role:
    role = Role(kafka)
    await role.create()
    return role


async def until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    assert line.strip() == "ready"


async def until_stopped(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    output, _ = await asyncio.to_thread(process.communicate, timeout=120)
    assert process.returncode == 0
    assert "stopped" in output


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


async def members(role: Role) -> dict[str, str]:
    """The group's members: id on the broker → client id."""
    admin = AIOKafkaAdminClient(**client_options(role.settings))
    await admin.start()
    try:
        described = (await admin.describe_consumer_groups([role.group]))[0].groups[0]
    finally:
        await admin.close()
    return {member[0]: member[1] for member in described[5]}


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


async def until_members(role: Role, count: int, *, seconds: float = 60.0) -> dict[str, str]:
    """The group's members once they are so many."""
    deadline = time.monotonic() + seconds
    while len(found := await members(role)) != count:
        assert time.monotonic() < deadline, f"{found} after {seconds} s"
        await asyncio.sleep(0.1)
    return found


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


async def settled(role: Role, *, seconds: float = 90.0) -> None:
    """Wait until every good input has an output, and the group has committed them all.

    Outputs alone are not enough: the killed process may have written them all, and the next one, stopped in the middle of
    what it repeats, rightly leaves an older value last for its successor to go on from.
    """
    inputs = (await list_topics(role.settings, [role.input]))[0]
    ends = {p.partition: p.high for p in inputs.partitions if p.high}
    wanted = {m.event_id("test"): (m.partition, m.offset) for m in await role.read(role.input) if m.value != b"bad"}
    committed: dict[int, int] = {}
    try:
        async with asyncio.timeout(seconds):
            while wanted or not ends.items() <= committed.items():
                for message in await role.read(role.output):
                    wanted.pop((message.header("ce_id") or b"").decode(), None)
                committed = await role.committed()
                await asyncio.sleep(0.3)
    except TimeoutError:
        pytest.fail(f"without an output: {sorted(wanted.values())}; committed: {committed} of {ends}")


async def test_a_group_that_formed_without_partitions_looks_again(kafka: str):
    """As when a worker joins while the broker is coming back and knows no partition of the topic yet."""
    role = Role(kafka)
    with role.worker() as process:
        await until_ready(process)
        await role.create()
        await role.produce(100)
        await role.outputs(100)  # within a minute; Kafka's clients look every five
        await until_stopped(process)


async def test_a_broker_that_is_away_costs_time_only(kafka_factory):
    """The broker dies for some seconds while a worker runs: the same process goes on, nothing is lost."""
    broker = kafka_factory()
    role = Role(broker.bootstrap)
    await role.create()
    await role.produce(1500)
    with role.worker() as process:
        await role.outputs(200)
        await asyncio.to_thread(broker.stop)
        await asyncio.sleep(10)
        assert process.poll() is None, "the worker must wait for its broker"
        await asyncio.to_thread(broker.start)
        await settled(role)
        await until_stopped(process)
    await role.check()


async def test_what_a_producer_aborted_was_never_said(role: Role):
    """Aborted records have no effect and hold no commit up, also behind offset 0; open ones delay and lose nothing."""
    bootstrap = role.settings.bootstrap_servers

    async def send(producer: AIOKafkaProducer, *values: str) -> None:
        for value in values:
            await producer.send_and_wait(role.input, key=b"k", value=value.encode(), partition=0)

    async with (
        AIOKafkaProducer(bootstrap_servers=bootstrap) as plain,
        AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=role.group) as transactional,
    ):
        await send(plain, "first")
        await transactional.begin_transaction()
        await send(transactional, "never", "bad never", "fatal")
        await transactional.abort_transaction()
        async with transactional.transaction():
            await send(transactional, "kept")
        with role.worker() as process:
            await until_ready(process)
            await send(plain, "second")
            await role.outputs(3)
            await transactional.begin_transaction()
            await send(transactional, "late")
            await send(plain, "behind it")
            await send_elsewhere(role, plain)
            await role.outputs(4)  # the other partition goes on
            assert [m.value for m in await role.read(role.output) if m.key == b"k"] == [b"FIRST", b"KEPT", b"SECOND"]
            await transactional.commit_transaction()
            await role.outputs(6)
            await committed_up_to(role, 0, 11)  # first, 3 aborted + mark, kept + mark, second, late, behind it, mark
            await transactional.begin_transaction()
            await send(transactional, "never", "never")
            await transactional.abort_transaction()
            await until_stopped(process)
    values = [m.value for m in await role.read(role.output) if m.key == b"k"]
    assert values == [b"FIRST", b"KEPT", b"SECOND", b"LATE", b"BEHIND IT"]
    async with asyncio.timeout(30), Reader(role.settings, role.input) as reader:
        # The tail of the partition holds aborted records and a mark only: reading to the end ends.
        read = [m.value for m in [m async for m in reader.to_end()] if m.key == b"k"]
    assert read == [b"first", b"kept", b"second", b"late", b"behind it"]
    assert not [m for m in await role.read(DEAD_LETTERS) if m.header("__connect.errors.topic") == role.input.encode()]


async def send_elsewhere(role: Role, producer: AIOKafkaProducer) -> None:
    await producer.send_and_wait(role.input, key=b"other", value=b"elsewhere", partition=1)


async def committed_up_to(role: Role, partition: int, offset: int, *, seconds: float = 60.0) -> None:
    """Wait until the group's offset of the partition is `offset`."""
    async with asyncio.timeout(seconds):
        while (await role.committed()).get(partition) != offset:  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.2)


class Lags(NullObserver):
    """Keeps what it was told last."""

    def __init__(self) -> None:
        self.topic = ""
        self.last: dict[int, int] = {}
        self.ages: list[float] = []

    def lag(self, topic, messages):
        self.topic, self.last = topic, dict(messages)

    def aged(self, topic, seconds):
        self.ages.append(seconds)


async def test_how_far_behind_a_group_is(role: Role, tmp_path: Path):
    """Every partition held has a lag, also one of which nothing was ever committed; what hangs holds it up in order."""
    away = tmp_path / "away"
    away.touch()
    for value in (f"stuck {away}", "a", "b", "c"):
        await role.send(b"k7", value.encode())
    lags, stop = Lags(), asyncio.Event()
    work = asyncio.create_task(engine_worker.work(role.settings, role.input, role.output, role.group, stop, lags, 0.1))
    async with asyncio.timeout(60):
        while sorted(lags.last.values()) != [0, 0, 0, 0, 0, 4]:
            assert not work.done(), work
            await asyncio.sleep(0.05)
    assert lags.topic == role.input
    away.unlink()
    async with asyncio.timeout(60):
        while lags.last != dict.fromkeys(range(PARTITIONS), 0):  # noqa: ASYNC110 - told from a task of the role
            await asyncio.sleep(0.05)
    stop.set()
    await work
    assert len(lags.ages) == 4
    assert all(0 <= age < 60 for age in lags.ages)


@asynccontextmanager
async def admin_of(role: Role) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**client_options(role.settings))
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def test_records_that_were_deleted_unread_are_told(role: Role):
    """A worker is frozen while retention takes 5 of 6 records: the sixth is worked off, the others leave one letter."""
    async with AIOKafkaProducer(bootstrap_servers=role.settings.bootstrap_servers) as producer:

        async def send(*values: str) -> None:
            for value in values:
                await producer.send_and_wait(role.input, key=b"k", value=value.encode(), partition=2)

        with role.worker() as frozen:
            await until_ready(frozen)
            await send("a", "b")
            await committed_up_to(role, 2, 2)
            frozen.send_signal(signal.SIGSTOP)
            await send("c", "d", "e", "f", "g", "h")
            async with admin_of(role) as admin:
                await admin.delete_records({TopicPartition(role.input, 2): RecordsToDelete(7)})
            frozen.send_signal(signal.SIGCONT)
            with role.worker() as other:  # whether the frozen one goes on or ends
                await role.outputs(3)
                await committed_up_to(role, 2, 8)
                await until_stopped(other)
    [(place, at, code)] = {
        (m.header("__connect.errors.partition"), m.header("__connect.errors.offset"), m.header("weft_code"))
        for m in await role.read(DEAD_LETTERS)
        if m.header("__connect.errors.topic") == role.input.encode()
    }
    assert (place, code) == (b"2", b"lost")
    # The fetch that was under way when the worker froze may have brought "c" and what follows it: worked off, and committed
    # or not when the others were told.
    values = [m.value for m in await role.read(role.output)]
    fetched = values[2:-1]
    assert [*values[:2], values[-1]] == [b"A", b"B", b"H"]
    assert fetched == [b"C", b"D", b"E", b"F", b"G"][: len(fetched)], "in order and once"
    first = int(at or b"")
    assert 2 <= first <= 2 + len(fetched)
    causes = [m.header("__connect.errors.exception.message") or b"" for m in await role.read(DEAD_LETTERS)]
    assert any(f"{7 - first} records (offsets {first} to 6)".encode() in cause for cause in causes)


@pytest.mark.parametrize("records", [12, 40])
async def test_a_topic_that_is_created_again_is_another_topic(role: Role, records: int):
    """Under a running worker, with fewer and with more records than the first: all are worked off, as other events."""

    async def send(first: int, count: int) -> None:
        async with AIOKafkaProducer(bootstrap_servers=role.settings.bootstrap_servers) as producer:
            for number in range(first, first + count):
                await producer.send_and_wait(role.input, key=b"k", value=b"v%d" % number, partition=1)

    with role.worker() as process:
        await send(0, 20)
        await role.outputs(20)
        await committed_up_to(role, 1, 20)
        async with admin_of(role) as admin:
            await admin.delete_topics([role.input])
        async with asyncio.timeout(30):
            while await list_topics(role.settings, [role.input]):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await role.create()
        await send(100, records)
        wanted = {b"V%d" % number for number in [*range(20), *range(100, 100 + records)]}
        with suppress(TimeoutError):
            async with asyncio.timeout(20):  # it may go on, or ask to be started again
                while process.poll() is None and not wanted <= {m.value for m in await role.read(role.output)}:  # noqa: ASYNC110
                    await asyncio.sleep(0.3)
    with role.worker() as again:
        await until_ready(again)
        await until_values(role, wanted)
        await until_stopped(again)
    events: dict[bytes, set[bytes]] = {}
    for record in await role.read(role.output):
        events.setdefault(record.header("ce_id") or b"", set()).add(record.value or b"")
    assert all(len(values) == 1 for values in events.values()), "two records under one id"
    assert len(events) == 20 + records


async def until_values(role: Role, wanted: set[bytes], *, seconds: float = 60.0) -> None:
    """Wait until the output topic holds all these values."""
    async with asyncio.timeout(seconds):
        while not wanted <= {m.value for m in await role.read(role.output)}:  # noqa: ASYNC110
            await asyncio.sleep(0.3)


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
