"""What Weft needs of a Kafka, asked of any broker address (WEFT_TEST_BOOTSTRAP), else of the embedded one."""

import asyncio
import uuid

import pytest
from aiokafka import AIOKafkaProducer, errors

from infra.settings import Settings
from processors.errors import Fatal, Poison, Retryable
from streams.contract.topics import BY_NAME, DEAD_LETTERS, ITEMS, TOPICS, UPLOADS, TopicSpec
from streams.kafka.consumer import open_consumer
from streams.kafka.producer import MAX_RECORD_BYTES, classify_kafka, open_producer
from streams.ops.admin import create_topics, list_topics, topic_differences
from streams.ops.doctor_kafka import differences, open_transactions

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(kafka: str) -> Settings:
    return Settings(bootstrap_servers=kafka, partitions=3)


@pytest.fixture
async def topic(settings: Settings) -> str:
    name = f"contract-{uuid.uuid4().hex[:8]}"
    await create_topics(settings, [TopicSpec(name, "raw", "delete")])
    return name


async def send(settings, topic, *records):
    async with open_producer(settings) as sender:
        deliveries = [
            await sender.send(topic, key=key, value=value, headers=headers, partition=partition)
            for key, value, headers, partition in records
        ]
        return [await delivery for delivery in deliveries]


async def read(settings, topic):
    state = (await list_topics(settings, [topic]))[0]
    found = []
    async with open_consumer(settings) as consumer:
        await consumer.assign({(topic, p.partition): p.low for p in state.partitions})
        while len(found) < state.messages:
            found += await consumer.poll(5.0)
    return found


async def test_all_topics_are_created_as_specified(settings: Settings):
    """Partitions and clean-up of EVENTS.md, with names of their own so that any broker will do."""
    suffix = uuid.uuid4().hex[:8]
    specs = [TopicSpec(f"{spec.name}-{suffix}", spec.format, spec.cleanup, spec.partitions) for spec in TOPICS]
    reports = await create_topics(settings, specs)
    assert all(report.created for report in reports)
    states = await list_topics(settings, [spec.name for spec in specs])
    for spec, state in zip(specs, states, strict=True):
        assert len(state.partitions) == (spec.partitions or 3)
        assert state.configs["cleanup.policy"] == spec.cleanup
        assert state.messages == 0


async def test_creating_again_changes_and_reports(settings: Settings, topic: str):
    """A second time nothing is created; what differs from the wish is said, and left alone."""
    (same,) = await create_topics(settings, [TopicSpec(topic, "raw", "delete")])
    assert (same.created, same.differences) == (False, ())
    (other,) = await create_topics(settings, [TopicSpec(topic, "raw", "compact", partitions=7)])
    assert other.differences == (
        "has 3 partitions instead of 7",
        "cleanup.policy is delete instead of compact",
    )
    assert len((await list_topics(settings, [topic]))[0].partitions) == 3


async def test_two_creators_at_once(settings: Settings):
    """Every process of a stack may create the topics at its start."""
    name = f"contract-{uuid.uuid4().hex[:8]}"
    spec = [TopicSpec(name, "raw", "delete")]
    reports = await asyncio.gather(*(create_topics(settings, spec) for _ in range(4)))
    assert {report[0].name for report in reports} == {name}


async def test_a_refused_topic_is_fatal(settings: Settings):
    """The broker's own word is in the message."""
    with pytest.raises(Fatal, match="does not create"):
        await create_topics(settings, [TopicSpec("not/a/topic", "raw", "delete")])


async def test_listing_does_not_create(settings: Settings):
    """Asking for a topic that is not there must not make it, even where the broker creates topics by itself."""
    name = f"contract-{uuid.uuid4().hex[:8]}"
    assert await list_topics(settings, [name]) == []
    assert await list_topics(settings, [name]) == []


async def test_records_come_back_as_they_were_sent(settings: Settings, topic: str):
    """Key, value, null value, headers (twice the same name, too), order of a partition, offsets from 0."""
    headers = (("ce_id", b"1"), ("ce_id", b"2"), ("empty", b""))
    await send(
        settings,
        topic,
        (b"a", b"\x00\xff", headers, 0),
        (b"a", None, (), 0),
        (None, b"", (), 0),
        *((b"k", str(n).encode(), (), 0) for n in range(200)),
    )
    found = await read(settings, topic)
    assert [m.offset for m in found] == list(range(203))
    assert (found[0].key, found[0].value, found[0].headers) == (b"a", b"\x00\xff", headers)
    assert (found[1].key, found[1].value) == (b"a", None)
    assert (found[2].key, found[2].value) == (None, b"")
    assert [m.value for m in found[3:]] == [str(n).encode() for n in range(200)]
    assert all(m.timestamp_ms > 1_600_000_000_000 for m in found)


async def test_one_key_one_partition(settings: Settings, topic: str):
    """Records of a product stay in order because they share a partition."""
    await send(settings, topic, *((f"k{n % 10}".encode(), str(n).encode(), (), None) for n in range(100)))
    found = await read(settings, topic)
    for number in range(10):
        mine = [m for m in found if m.key == f"k{number}".encode()]
        assert len({m.partition for m in mine}) == 1
        assert [int(m.value) for m in mine] == list(range(number, 100, 10))
    assert len({m.partition for m in found}) > 1


async def test_an_inline_image_fits_and_a_larger_record_is_poison(settings: Settings, topic: str):
    """1 MiB in base64 is 1.4 MB, more than Kafka's default; above our limit it is the record's own fault."""
    inline = bytes(1_400_000)
    await send(settings, topic, (b"a", inline, (), 0))
    assert (await read(settings, topic))[0].value == inline
    with pytest.raises(errors.MessageSizeTooLargeError) as refused:
        await send(settings, topic, (b"a", bytes(MAX_RECORD_BYTES + 1), (), 0))
    assert isinstance(classify_kafka(refused.value, "io"), Poison)


async def test_a_tail_sees_what_comes_later_and_nothing_else(settings: Settings, topic: str):
    """Broadcasts are read from the end on, by everybody, without a group."""
    await send(settings, topic, (b"a", b"old", (), 0))
    async with open_consumer(settings) as one, open_consumer(settings) as two:
        assert (await one.tail(topic))[0] == 1
        await two.tail(topic)
        await send(settings, topic, (b"a", b"new", (), 0), (b"b", b"new too", (), 1))
        for consumer in (one, two):
            found = []
            while len(found) < 2:
                found += await consumer.poll(5.0)
            assert {m.value for m in found} == {b"new", b"new too"}


async def test_an_offset_that_is_gone_is_never_skipped_silently(settings: Settings, topic: str):
    """The index would miss records without knowing."""
    async with open_consumer(settings) as consumer:
        await consumer.assign({(topic, 0): 99})
        with pytest.raises(errors.OffsetOutOfRangeError):
            await consumer.poll(5.0)


async def test_members_of_a_group_share_and_take_over(settings: Settings, topic: str):
    """Positions come from the assignment callback, not from the group; a member that leaves is replaced."""
    await send(settings, topic, *((None, str(n).encode(), (), n % 3) for n in range(9)))

    class Shards:
        def __init__(self, consumer):
            self.mine = set()
            consumer.subscribe([topic], assigned=self.assigned, revoked=self.revoked)
            self.consumer = consumer

        def assigned(self, places):
            self.mine |= set(places)
            for place in places:
                self.consumer.read_from(place, 1)  # as if a manifest said: offset 0 is applied

        async def revoked(self, places):
            self.mine -= set(places)

    group = f"group-{uuid.uuid4().hex[:8]}"
    async with open_consumer(settings, group=group) as one:
        first = Shards(one)
        found = []
        while len(found) < 6:
            found += await one.poll(1.0)
        assert {m.offset for m in found} == {1, 2}
        async with open_consumer(settings, group=group) as two:
            second = Shards(two)
            async with asyncio.timeout(30):
                while len(first.mine) + len(second.mine) != 3 or not second.mine:
                    await asyncio.gather(one.poll(0.2), two.poll(0.2))
            assert not first.mine & second.mine
        async with asyncio.timeout(30):
            while len(first.mine) < 3:
                await one.poll(0.2)


async def test_a_fault_in_a_change_of_the_assignment_is_not_swallowed(settings: Settings, topic: str):
    """aiokafka logs it and goes on as if nothing had happened; the reader ends with it instead."""

    def assigned(places):
        raise KeyError(places[0])

    async def revoked(_places):
        pass

    async with open_consumer(settings, group=f"group-{uuid.uuid4().hex[:8]}") as consumer:
        consumer.subscribe([topic], assigned=assigned, revoked=revoked)

        async def read_on():
            while True:
                await consumer.poll(0.2)

        with pytest.raises(Fatal, match="KeyError"):
            await asyncio.wait_for(read_on(), 30)


async def test_a_partition_that_is_held_is_not_read_before_it_is_said_from_where(settings: Settings, topic: str):
    """And its bounds, its first record of a time, and its known end are told meanwhile."""
    await send(settings, topic, *((None, str(n).encode(), (), 0) for n in range(5)))
    dealt = asyncio.Event()

    async def revoked(_places):
        pass

    async with open_consumer(settings, group=f"group-{uuid.uuid4().hex[:8]}") as consumer:
        consumer.subscribe([topic], assigned=lambda _: dealt.set(), revoked=revoked)
        while not dealt.is_set():
            assert await consumer.poll(0.2) == []
        assert await consumer.poll(0.5) == []
        place = (topic, 0)
        assert await consumer.bounds(place) == (0, 5)
        assert await consumer.first_since(place, 0) == 0
        assert await consumer.first_since(place, 2**42) is None
        consumer.read_from(place, 3)
        found = []
        while len(found) < 2:
            found += await consumer.poll(1.0)
        assert [m.offset for m in found] == [3, 4]
        assert (consumer.known_end(place), consumer.known_partitions(topic)) == (5, 3)


async def test_a_topic_that_is_not_there_is_worth_waiting_for(settings: Settings):
    """Roles may start before the topics exist."""
    async with open_consumer(settings) as consumer:
        with pytest.raises(Retryable, match="topics create"):
            await consumer.partitions(f"contract-{uuid.uuid4().hex[:8]}")


@pytest.mark.slow
async def test_records_survive_a_restart_of_the_broker(kafka_factory):
    """What was acknowledged is there after a stop, and topics are as they were."""
    broker = kafka_factory()
    settings = Settings(bootstrap_servers=broker.bootstrap, partitions=2)
    await create_topics(settings, [TopicSpec("durable", "raw", "compact")])
    await send(settings, "durable", *((str(n).encode(), b"x", (), None) for n in range(50)))
    await asyncio.to_thread(broker.stop)
    await asyncio.to_thread(broker.start)
    found = await read(settings, "durable")
    assert {m.key for m in found} == {str(n).encode() for n in range(50)}
    assert (await list_topics(settings, ["durable"]))[0].configs["cleanup.policy"] == "compact"


async def test_retention_and_durability_are_chosen(settings: Settings):
    """What a broker's defaults would decide is written into each topic; what differs from the settings is said."""
    chosen = settings.model_copy(
        update={
            "topic_prefix": f"contract-{uuid.uuid4().hex[:8]}.",
            "uploads_retention_days": 30.0,
            "kafka_min_insync_replicas": 1,
        }
    )
    await create_topics(chosen)
    assert await topic_differences(chosen) == {}
    there = {state.name: state.configs for state in await list_topics(chosen)}
    assert (there[UPLOADS]["retention.ms"], there[UPLOADS]["retention.bytes"]) == (str(30 * 24 * 3_600_000), "-1")
    assert (there[DEAD_LETTERS]["retention.ms"], there[DEAD_LETTERS]["retention.bytes"]) == ("-1", "-1")
    assert there[ITEMS]["delete.retention.ms"] == str(24 * 3_600_000)
    assert all(configs["min.insync.replicas"] == "1" for configs in there.values())
    wished = chosen.model_copy(
        update={"uploads_retention_days": -1.0, "kafka_min_insync_replicas": 2, "kafka_replication_factor": 3}
    )
    found = await topic_differences(wished)
    assert found[UPLOADS] == (
        "has 1 replicas instead of 3",
        f"retention.ms is {30 * 24 * 3_600_000} instead of -1",
        "min.insync.replicas is 1 instead of 2",
    )
    assert {told.ok for told in await differences(wished)} == {False}
    unwritable = chosen.model_copy(update={"topic_prefix": "unwritable.", "kafka_min_insync_replicas": 2})
    [report] = await create_topics(unwritable, [BY_NAME[UPLOADS]])
    assert report.created
    assert report.differences == ("min.insync.replicas is 2 with 1 replicas: nothing can be written",)


async def test_the_doctor_tells_a_transaction_that_holds_others_back(settings: Settings):
    """A client that died in the middle: what others send lies behind it, unread. One that is ended is none."""
    names = f"hung-{uuid.uuid4().hex[:6]}."
    mine = settings.model_copy(update={"topic_prefix": names})
    await create_topics(mine, [BY_NAME[UPLOADS], BY_NAME[ITEMS]])
    topic = f"{names}{UPLOADS}"
    assert await open_transactions(mine, wait_s=0) == []
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, transactional_id=names) as shop:
        async with shop.transaction():
            await shop.send_and_wait(topic, b"whole", key=b"k", partition=1)
        assert await open_transactions(mine, wait_s=0) == []
        await shop.begin_transaction()
        await shop.send_and_wait(topic, b"half", key=b"k", partition=1)
        await send(mine, UPLOADS, (b"k", b"another's", [], 1))
        [told] = await open_transactions(mine, wait_s=0)
        assert (told.part, told.ok) == ("transactions", False)
        assert told.found == f"{topic}: a transaction is open, and 2 records wait, from its first on"
        await shop.abort_transaction()
    assert await open_transactions(mine, wait_s=0) == []
