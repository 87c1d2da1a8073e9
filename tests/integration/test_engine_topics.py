"""The engine and its topics: away for a moment, made anew, emptied, with transactions that were aborted; how far behind it is."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from streams.contract.topics import DEAD_LETTERS
from streams.engine.observer import NullObserver
from streams.kafka.client import Reader
from streams.kafka.options import client_options
from streams.ops.admin import list_topics
from tests.fixtures import engine_worker
from tests.fixtures.engine_role import (
    PARTITIONS,
    Role,
    committed_up_to,
    settled,
    until_ready,
    until_stopped,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
async def role(kafka: str) -> Role:
    role = Role(kafka)
    await role.create()
    return role


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
                await until_ready(other)  # the frozen one may have done all before this one was there to be stopped
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
