"""One order for each product, however its records were placed and whichever partition is read first."""

from __future__ import annotations

import asyncio
import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.errors import Code, Poison
from streams.contract.topics import UPLOADS
from streams.engine.message import ORIGIN, Message
from streams.kafka.key_order import (
    MAX_ORIGINS,
    NO_KEY,
    PARTITIONER,
    Here,
    KeyOrder,
    LastSaid,
    PassOn,
    Superseded,
    placed_by,
    product_of,
)
from streams.kafka.notices import NullNotices
from streams.kafka.pins import partition_of
from tests.fakes.key_topic import KeyTopic, crc32_partition

PARTITIONS = 12


def upload(product: str, number: int = 0) -> bytes:
    return b'{"product_id": "%s", "image": {"uri": "file:///%d.jpg"}}' % (product.encode(), number)


class Worker:
    """What `enrich` makes of a topic: the last state of each product, one record at a time from any partition."""

    def __init__(self, topic: KeyTopic, **limits: int) -> None:
        self.topic = topic
        self.limits = limits
        self.at: dict[int, int] = {}
        self.state: dict[str, bytes | None] = {}
        self.told: list[str] = []
        self.troubles: list[str] = []
        self.order = self.fresh()

    def fresh(self) -> KeyOrder:
        return KeyOrder(self.topic, self, now=lambda: 0.0, **self.limits)

    def lost(self, topic: str, records: int) -> None: ...

    def misplaced(self, topic: str, why: str) -> None:
        assert topic == UPLOADS
        self.told.append(why)

    def trouble(self, text: str) -> None:
        self.troubles.append(text)

    async def step(self, partition: int) -> bool:
        """Work off the next record of a partition; False when there is none."""
        records, at = self.topic.records.get(partition, []), self.at.get(partition, 0)
        if at >= len(records):
            return False
        message = records[at]
        product = await product_of(message)
        assert product is not None
        verdict = await self.order.place(message, product)
        if isinstance(verdict, PassOn):
            self.topic.pass_on(message, verdict)
        elif isinstance(verdict, Here):
            self.state[product.decode()] = message.value
        self.at[partition] = at + 1
        return True

    async def finish(self) -> None:
        while any([await self.step(partition) for partition in range(self.topic.count)]):
            pass


def apart(partitions: int = PARTITIONS) -> str:
    """A product that the two partitioners place differently."""
    names = (f"sku-{number}" for number in range(1000))
    return next(n for n in names if crc32_partition(n.encode(), partitions) != partition_of(n.encode(), partitions))


async def test_a_backlog_of_librdkafka_does_not_undo_a_delete() -> None:
    """The upload waits on one partition, the delete on another is worked off first: the product stays deleted."""
    topic, product = KeyTopic(PARTITIONS), apart()
    waiting = topic.write(product, upload(product), "crc32")
    gone = topic.write(product, None)
    worker = Worker(topic)
    assert await worker.step(gone.partition)
    assert await worker.step(waiting.partition)
    await worker.finish()
    assert worker.state == {product: None}
    assert worker.told == [PARTITIONER]
    assert "murmur2_random" in worker.troubles[0]


async def test_the_other_way_round() -> None:
    """A delete by kcat waits while a newer upload by Weft's client is worked off: the product lives."""
    topic, product = KeyTopic(PARTITIONS), apart()
    topic.write(product, None, "crc32")
    newer = topic.write(product, upload(product, 2))
    worker = Worker(topic)
    assert await worker.step(newer.partition)
    await worker.finish()
    assert worker.state == {product: upload(product, 2)}


@pytest.mark.parametrize("deleted_by", ["crc32", "murmur2"])
@pytest.mark.parametrize("upload_is_first", [True, False])
async def test_of_one_millisecond_the_deletion_counts(deleted_by: str, upload_is_first: bool) -> None:
    """Whichever of the two is passed on, and whichever was worked off first."""
    topic, product = KeyTopic(PARTITIONS), apart()
    uploaded_by = {"crc32": "murmur2", "murmur2": "crc32"}[deleted_by]
    uploaded = topic.write(product, upload(product), uploaded_by)
    topic.now_ms -= 1
    deleted = topic.write(product, None, deleted_by)
    assert uploaded.timestamp_ms == deleted.timestamp_ms
    worker = Worker(topic)
    assert await worker.step((uploaded if upload_is_first else deleted).partition)
    await worker.finish()
    assert worker.state == {product: None}


async def test_a_shop_that_uses_kcat_only_is_served_in_order() -> None:
    """Every change takes effect, in the order in which it was made; each event keeps its identity."""
    topic, product = KeyTopic(PARTITIONS), apart()
    changes = [upload(product, 1), upload(product, 2), None, upload(product, 3)]
    first = [topic.write(product, value, "crc32") for value in changes]
    worker, seen = Worker(topic), []
    while await worker.step(first[0].partition):
        pass
    right = partition_of(product.encode(), PARTITIONS)
    while await worker.step(right):
        seen.append(worker.state[product])
    assert seen == changes
    assert [m.event_id("enrich") for m in topic.records[right]] == [m.event_id("enrich") for m in first]


async def test_a_record_without_a_key_goes_by_the_id_in_its_value() -> None:
    """It is passed on under a key, so that what comes later of its product finds it."""
    topic, product = KeyTopic(PARTITIONS), "sku-1"
    right = partition_of(product.encode(), PARTITIONS)
    topic.write(product, upload(product), right + 1)
    topic.write(product, None)
    worker = Worker(topic)
    await worker.finish()
    assert worker.state == {product: None}
    assert worker.told == [NO_KEY]
    assert not worker.troubles, "no partitioner is at fault"
    assert topic.records[right][-1].key == product.encode()


async def test_records_from_before_partitions_were_added_are_passed_on() -> None:
    """Raised from 12 to 17 with a backlog: an old upload does not undo a delete on the new partition."""
    topic = KeyTopic(12)
    names = [f"sku-{number}" for number in range(40)]
    for name in names:
        topic.write(name, upload(name))
    topic.count = 17
    for name in names[::2]:
        topic.write(name, None)
    worker = Worker(topic)
    for partition in range(16, -1, -1):
        while await worker.step(partition):
            pass
    await worker.finish()
    assert {name for name, value in worker.state.items() if value is None} == set(names[::2])


async def test_clients_that_agree_pay_nothing() -> None:
    """Not one record is looked up, and nothing is remembered."""
    topic = KeyTopic(PARTITIONS)
    for number in range(200):
        topic.write(f"sku-{number % 20}", upload(f"sku-{number % 20}", number))
    worker = Worker(topic)
    await worker.finish()
    assert (topic.read, worker.told, worker.order._memories) == (0, [], {})


async def test_a_backlog_is_looked_through_once() -> None:
    """A thousand misplaced records do not cost a thousand times the log."""
    topic = KeyTopic(3)
    for number in range(1000):
        topic.write(f"sku-{number}", upload(f"sku-{number}"), "crc32")
    worker = Worker(topic)
    await worker.finish()
    assert len(worker.state) == 1000
    assert topic.read <= sum(len(records) for records in topic.records.values())


async def test_what_lies_too_far_back_is_refused_and_not_guessed() -> None:
    """A forged time must not make a role read a topic for days."""
    topic, product = KeyTopic(PARTITIONS), apart()
    old = topic.write(product, upload(product), "crc32")
    for number in range(10):
        topic.write(product, upload(product, number))
    worker = Worker(topic, max_behind=5)
    assert await worker.step(old.partition)
    worker.at[partition_of(product.encode(), PARTITIONS)] = 10
    with pytest.raises(Poison, match="more than 5 records back") as refused:
        await worker.step(partition_of(product.encode(), PARTITIONS))
    assert refused.value.code == Code.SUPERSEDED


async def test_little_memory_is_enough() -> None:
    """What was forgotten is looked up again."""
    topic, product = KeyTopic(PARTITIONS), apart()
    topic.write(product, upload(product), "crc32")
    topic.write(product, None)
    for number in range(30):
        topic.write(f"other-{number}", upload(f"other-{number}"), "crc32")
    worker = Worker(topic, max_keys=2)
    for partition in reversed(range(PARTITIONS)):
        while await worker.step(partition):
            pass
    await worker.finish()
    assert worker.state[product] is None


async def test_the_same_record_again_is_no_younger_one() -> None:
    """A worker that died after passing on does so again: the second copy does not supersede, and is the same event."""
    topic, product = KeyTopic(PARTITIONS), apart()
    waiting = topic.write(product, upload(product), "crc32")
    right = partition_of(product.encode(), PARTITIONS)
    copies = [topic.pass_on(waiting, PassOn(right, product.encode())) for _ in range(2)]
    worker = Worker(topic)
    assert [await worker.order.place(copy, product.encode()) for copy in copies] == [Here(), Here()]
    gone = topic.write(product, None, "crc32")
    passed = topic.pass_on(gone, PassOn(right, product.encode()))
    late = topic.pass_on(waiting, PassOn(right, product.encode()))
    assert await worker.order.place(passed, product.encode()) == Here()
    assert await worker.order.place(late, product.encode()) == Superseded(passed.offset)


async def test_a_record_that_comes_back_to_its_first_partition_is_no_new_one() -> None:
    """A worker that did not know yet of added partitions sent it away; the next one sends it back, behind a newer one."""
    topic, product = KeyTopic(PARTITIONS), "sku-1"
    right = partition_of(product.encode(), PARTITIONS)
    older = topic.write(product, upload(product, 1))
    newer = topic.write(product, upload(product, 2))
    away = topic.pass_on(older, PassOn((right + 1) % PARTITIONS, product.encode()))
    back = topic.pass_on(away, PassOn(right, product.encode()))
    assert back.identity == older.identity
    assert await Worker(topic).order.place(back, product.encode()) == Superseded(newer.offset)


async def test_whose_product_it_is() -> None:
    """The key says it; without one the value, where it is an upload."""
    assert await product_of(Message(UPLOADS, 0, 0, b"k", b"{")) == b"k"
    assert await product_of(Message(UPLOADS, 0, 0, None, upload("sku-1"))) == b"sku-1"
    assert await product_of(Message(UPLOADS, 0, 0, None, b"{")) is None
    assert await product_of(Message(UPLOADS, 0, 0, None, None)) is None


_PLACED = st.one_of(st.sampled_from(["murmur2", "crc32"]), st.integers(0, 4))
_WRITE = st.tuples(st.just("write"), st.integers(0, 3), st.booleans(), _PLACED)
_STEP = st.tuples(st.just("step"), st.integers(0, 6))
_RESTART = st.tuples(st.just("restart"), st.integers(0, 2))


_ONE_CLIENT = st.tuples(st.just("write"), st.integers(0, 3), st.booleans(), st.just("murmur2"))
_Story = list[tuple[object, ...]]


def the_last_word_stands(story: _Story) -> None:
    async def run() -> None:
        topic = KeyTopic(5)
        worker = Worker(topic)
        last: dict[str, bytes | None] = {}
        for number, (what, *rest) in enumerate(story):
            if what == "write":
                product = f"sku-{rest[0]}"
                keyless = isinstance(rest[2], int)
                value = None if rest[1] and not keyless else upload(product, number)  # a delete needs its key
                topic.write(product, value, rest[2])  # type: ignore[arg-type]
                last[product] = value
            elif what == "step":
                await worker.step(int(rest[0]) % topic.count)  # type: ignore[call-overload]
            elif what == "grow":
                topic.count += 1
            elif what == "restart":
                worker.at = {p: max(0, at - int(rest[0])) for p, at in worker.at.items()}  # type: ignore[call-overload]
                worker.order = worker.fresh()
        worker.order = worker.fresh()
        await worker.finish()
        assert worker.state == last

    asyncio.run(run())


@given(st.lists(st.one_of(_WRITE, _WRITE, _STEP, _STEP, _RESTART), max_size=60))
def test_the_last_word_stands_whatever_the_clients_do(story: _Story) -> None:
    """Any mix of clients, any order of reading, restarts that read again: what was said last holds."""
    the_last_word_stands(story)


_OF_ONE_CLIENT = st.lists(st.one_of(_ONE_CLIENT, _ONE_CLIENT, _STEP, _STEP, _RESTART), max_size=30)


@given(_OF_ONE_CLIENT, _OF_ONE_CLIENT)
def test_the_last_word_stands_when_partitions_are_added(before: _Story, after: _Story) -> None:
    """A backlog of clients that agree on the partitioner, in any order of reading (docs/limits.md has what is left out)."""
    the_last_word_stands([*before, ("grow",), *after])


async def test_forged_origins_take_no_memory_without_end() -> None:
    """Anybody may write the header; a product remembers the youngest of a bounded number of partitions."""
    topic = KeyTopic(PARTITIONS)
    order, right = KeyOrder(topic, now=lambda: 0.0), partition_of(b"sku", PARTITIONS)
    for number in range(1000):
        origin = f"{UPLOADS}/{number + PARTITIONS}/{number}@{number}/{0:016x}".encode()
        message = Message(UPLOADS, right, number, b"sku", upload("sku"), ((ORIGIN, origin),), number)
        assert isinstance(await order.place(message, b"sku"), Here)
    [memory] = order._memories.values()
    assert len(memory.products[b"sku"]) == MAX_ORIGINS
    late = f"{UPLOADS}/0/7@500/{0:016x}".encode()
    message = Message(UPLOADS, right, 1000, b"sku", upload("sku"), ((ORIGIN, late),), 500)
    assert isinstance(await order.place(message, b"sku"), Superseded)


class Notes(NullNotices):
    """Counts."""

    misplaced_records = 0

    def misplaced(self, topic: str, why: str) -> None:
        self.misplaced_records += 1


async def test_records_that_go_elsewhere_do_not_make_it_look_back_anew() -> None:
    """Half of what a librdkafka client writes passes through, while an old backlog is passed on to this partition."""
    topic, told = KeyTopic(PARTITIONS), Notes()
    order, right = KeyOrder(topic, told, now=lambda: 0.0), 3
    ours = [f"sku-{n}" for n in range(5000) if partition_of(f"sku-{n}".encode(), PARTITIONS) == right]
    others = [f"sku-{n}" for n in range(1000) if partition_of(f"sku-{n}".encode(), PARTITIONS) != right]
    old = topic.now_ms
    for product in ours[:200]:
        topic.write(product, upload(product))
    for product, other in zip(ours[200:250], others, strict=False):
        origin = f"{UPLOADS}/7/1@{old}/{0:016x}".encode()
        topic.append(right, product.encode(), upload(product), ((ORIGIN, origin),), old)
        topic.append(right, other.encode(), upload(other), (), topic.now_ms)
    for message in list(topic.records[right]):
        assert message.key is not None
        await order.place(message, message.key)
    assert told.misplaced_records == 50
    assert topic.read <= 250


def test_equal_ids_of_two_shops_have_an_order_each_on_one_partition() -> None:
    """The id names the partition, whichever way a client wrote the key; an upload of one shop supersedes none of the other's."""
    assert placed_by(b"//one/sku-1") == placed_by(b"//two/sku-1") == placed_by(b"sku-1") == b"sku-1"
    value = b'{"product_id": "sku-1", "shop": "one", "image": {"uri": "file:///1.jpg"}}'
    for key in (b"sku-1", b"//one/sku-1", None):
        assert asyncio.run(product_of(Message(UPLOADS, 0, 0, key, value))) == b"//one/sku-1"
    assert asyncio.run(product_of(Message(UPLOADS, 0, 0, b"sku-1", None))) == b"sku-1"


@pytest.mark.parametrize("order", sorted(set(itertools.permutations((0, 1, 1)))))
def test_what_its_own_partition_replaced_hides_nothing_of_another(order: tuple[int, ...]) -> None:
    """Of one millisecond: a deletion in partition 0, and in 1 a deletion that a record follows. The deletion of partition 0 stands."""
    values = {0: [None], 1: [None, b"again"]}
    logs = {
        partition: [Message("search.standing", partition, at, b"a", one, timestamp_ms=5) for at, one in enumerate(said)]
        for partition, said in values.items()
    }
    last_said, view = LastSaid(), b"nothing read"
    for partition in order:
        message = logs[partition].pop(0)
        if last_said.counts(message):
            view = message.value
    assert view is None


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2), st.integers(0, 3), st.booleans()), max_size=12),
    st.randoms(use_true_random=False),
)
def test_what_was_said_last_stands_whichever_partition_is_read_first(
    said: list[tuple[str, int, int, bool]], chance: random.Random
) -> None:
    """A view of a whole topic: read once in turn, or again and in any order of partitions, it is the same."""
    logs: dict[int, list[Message]] = {0: [], 1: [], 2: []}
    newest: dict[str, tuple[int, bool, int, bytes | None]] = {}
    now = 0
    for key, partition, later, deleted in said:
        now += later
        value = None if deleted else str(len(newest)).encode() + str(now).encode()
        log = logs[partition]
        log.append(Message("search.standing", partition, len(log), key.encode(), value, timestamp_ms=now))
    for log in logs.values():
        last = {str(message.key): message for message in log}
        for key, message in last.items():
            order = (message.timestamp_ms, message.value is None, -message.partition, message.value)
            newest[key] = max(newest.get(key, order), order, key=lambda known: known[:2])
    last_said, view = LastSaid(), dict[str, bytes | None]()
    for _ in range(2):
        ahead = {partition: iter(log) for partition, log in logs.items()}
        while ahead:
            partition = chance.choice(sorted(ahead))
            message = next(ahead[partition], None)
            if message is None:
                del ahead[partition]
            elif last_said.counts(message):
                view[str(message.key)] = message.value
    for key, (at, deleted, _, _) in newest.items():
        same = {m.value for log in logs.values() for m in log if str(m.key) == key and m.timestamp_ms == at}
        assert view[key] in same
        assert (view[key] is None) == deleted


def test_a_topic_that_was_created_again_begins_anew() -> None:
    """Its first records are younger than those of the one before, whatever their offsets."""
    last_said = LastSaid()
    assert last_said.counts(Message("search.standing", 0, 7, b"red", b"1", timestamp_ms=1000))
    assert not last_said.counts(Message("search.standing", 0, 6, b"red", None, timestamp_ms=900))
    assert last_said.counts(Message("search.standing", 0, 0, b"red", b"2", timestamp_ms=2000))
