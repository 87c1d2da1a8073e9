"""Where a group begins to read, and where the keys of Weft's own topics lie."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infra.memory_store import MemoryStore
from processors.errors import Code, Fatal, Retryable
from streams.contract.topics import CAPTIONS, DEAD_LETTERS, HITS, ITEMS, UPLOADS
from streams.engine.message import Message
from streams.kafka.dead_letters import dead_letters, lost_letters
from streams.kafka.notices import telling
from streams.kafka.pins import PinnedSender, Pins, TopicNow, key_of, partition_held, partition_of
from streams.kafka.producer import MemorySender
from streams.kafka.starts import Committed, start_of
from streams.ops.dlq_letters import advice, read_letter
from streams.ops.doctor_kafka import partitions_before
from tests.fakes.key_topic import crc32_partition


@pytest.mark.parametrize(
    ("committed", "offset", "lost", "says"),
    [
        (None, 10, 0, ""),
        (Committed(10, "a"), 10, 0, ""),
        (Committed(25, "a"), 25, 0, ""),
        (Committed(30, "a"), 30, 0, ""),
        (Committed(7, "a"), 10, 3, "3 records (offsets 7 to 9) were deleted before they were read"),
        (Committed(7), 10, 3, "3 records"),
        (Committed(25, "other"), 10, 0, "created again"),
        (Committed(7, "other"), 10, 0, "created again"),
        (Committed(31, "other"), 10, 0, "created again"),
        (Committed(31), 10, 0, "created again"),
        (Committed(31, "a"), 30, 0, "cut off"),
        (Committed(25), 25, 0, ""),
    ],
)
def test_where_reading_begins(committed: Committed | None, offset: int, lost: int, says: str) -> None:
    """A partition that keeps offsets 10 to 29, of the topic whose id is "a"."""
    start = start_of("catalog.uploads", 3, committed, low=10, end=30, topic_id="a")
    assert (start.offset, start.lost) == (offset, lost)
    assert says in start.text
    assert bool(says) == bool(start.text)


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.losses: list[tuple[str, int]] = []
        self.troubles: list[str] = []

    def lost(self, topic: str, records: int) -> None:
        self.losses.append((topic, records))

    def misplaced(self, topic: str, why: str) -> None: ...

    def trouble(self, text: str) -> None:
        self.troubles.append(text)


async def test_a_loss_is_counted_shown_and_leaves_a_letter() -> None:
    """One letter for the whole gap, at its first offset; a topic that was created again leaves none."""
    sender, told = MemorySender(), Told()
    tell = telling(told, lost_letters(dead_letters(sender)))
    await tell(start_of(UPLOADS, 3, Committed(7, "a"), low=10, end=30, topic_id="a"))
    await tell(start_of(UPLOADS, 4, Committed(7, "b"), low=10, end=30, topic_id="a"))
    assert told.losses == [(UPLOADS, 3)]
    assert len(told.troubles) == 2
    [sent] = sender.sent
    letter = read_letter(Message(sent.topic, 0, 0, sent.key, sent.value, sent.headers))
    assert (sent.topic, letter.id, letter.code) == (DEAD_LETTERS, f"{UPLOADS}/3/7/retention", Code.LOST)
    assert "send these products again" in advice(letter)


class Broker:
    """Topics that a test changes."""

    def __init__(self) -> None:
        self.topics = {ITEMS: TopicNow("one", 12), CAPTIONS: TopicNow("two", 12)}
        self.away = False

    async def look(self, topic: str) -> TopicNow:
        if self.away:
            raise Retryable("no broker")
        return self.topics[topic]


KEYS = [f"sku-{number}".encode() for number in range(200)]


async def placed(sender: PinnedSender, memory: MemorySender, topic: str) -> list[int | None]:
    memory.sent.clear()
    for key in KEYS:
        await sender.send(topic, key=key, value=b"")
    return [sent.partition for sent in memory.sent]


async def test_partitions_that_are_added_move_no_key() -> None:
    """Raised from 12 to 17, also after a restart, also with the broker away; created again, the number is taken anew."""
    broker, store, memory, clock = Broker(), MemoryStore(), MemorySender(), [0.0]
    sender = PinnedSender(memory, Pins(store, broker.look, lambda: clock[0]))
    first = await placed(sender, memory, ITEMS)
    assert first == [partition_of(key, 12) for key in KEYS]
    broker.topics[ITEMS] = TopicNow("one", 17)
    clock[0] += 60
    assert await placed(sender, memory, ITEMS) == first
    other = PinnedSender(memory, Pins(store, broker.look, lambda: clock[0]))
    assert await placed(other, memory, ITEMS) == first
    broker.away = True
    clock[0] += 60
    assert await placed(other, memory, ITEMS) == first
    broker.away = False
    broker.topics[ITEMS] = TopicNow("three", 17)
    clock[0] += 60
    assert await placed(other, memory, ITEMS) == [partition_of(key, 17) for key in KEYS]


async def test_who_looks_one_key_up_finds_it_where_it_was_put() -> None:
    """`weft explain` said that there is no such product once partitions had been added; it writes no number of its own."""
    broker, store, memory = Broker(), MemoryStore(), MemorySender()
    assert await partition_held(store, ITEMS, TopicNow("one", 5), KEYS[0]) == partition_of(KEYS[0], 5)
    assert list(store.list("")) == []
    await placed(PinnedSender(memory, Pins(store, broker.look, lambda: 0.0)), memory, ITEMS)
    for key in KEYS:
        assert await partition_held(store, ITEMS, TopicNow("one", 17), key) == partition_of(key, 12)
        assert await partition_held(store, ITEMS, TopicNow("another", 17), key) == partition_of(key, 17)


async def test_a_topic_without_an_id_that_shrank_is_another_one() -> None:
    """An old broker gives no ids; keys must at least lie on partitions that exist."""
    broker, store, memory = Broker(), MemoryStore(), MemorySender()
    broker.topics[ITEMS] = TopicNow("", 12)
    await placed(PinnedSender(memory, Pins(store, broker.look, lambda: 0.0)), memory, ITEMS)
    broker.topics[ITEMS] = TopicNow("", 5)
    found = await placed(PinnedSender(memory, Pins(store, broker.look, lambda: 0.0)), memory, ITEMS)
    assert found == [partition_of(key, 5) for key in KEYS]


async def test_nobody_writes_before_the_number_is_known() -> None:
    """Without a broker nothing is guessed."""
    broker = Broker()
    broker.away = True
    sender = PinnedSender(MemorySender(), Pins(MemoryStore(), broker.look, lambda: 0.0))
    with pytest.raises(Retryable):
        await sender.send(ITEMS, key=b"k", value=b"")


async def test_a_number_that_cannot_be_read_is_no_products_fault() -> None:
    """Every item would become a dead letter for it, one after the other."""
    store = MemoryStore()
    store.put(key_of(ITEMS, "one"), b"{")
    sender = PinnedSender(MemorySender(), Pins(store, Broker().look, lambda: 0.0))
    with pytest.raises(Fatal, match="restore it"):
        await sender.send(ITEMS, key=b"k", value=b"")


async def test_what_everybody_reads_lies_on_one_partition_and_the_rest_where_it_likes() -> None:
    """A reader of hits finds partitions that are added only after a while; a letter's key is the client's business."""
    broker, memory = Broker(), MemorySender()
    sender = PinnedSender(memory, Pins(MemoryStore(), broker.look, lambda: 0.0))
    await sender.send(HITS, key=b"k", value=b"")
    await sender.send(DEAD_LETTERS, key=b"k", value=b"")
    await sender.send(ITEMS, key=b"k", value=b"", partition=7)
    assert [sent.partition for sent in memory.sent] == [0, None, 7]


def test_records_of_before_partitions_were_added_accuse_no_client() -> None:
    """Placed by murmur2 among fewer partitions they lie where they belonged; what CRC-32 placed fits no number."""
    keys = [f"sku-{number}".encode() for number in range(60)]

    def wrong(place: Callable[[bytes, int], int], before: int, now: int) -> list[tuple[bytes, int]]:
        places = [(key, place(key, before)) for key in keys]
        return [(key, partition) for key, partition in places if partition != partition_of(key, now)]

    assert partitions_before(wrong(partition_of, 12, 13), 13) == 12
    assert partitions_before(wrong(partition_of, 1, 12), 12) == 1
    assert partitions_before(wrong(crc32_partition, 13, 13), 13) is None
    assert partitions_before(wrong(crc32_partition, 12, 13), 13) is None
    assert partitions_before(wrong(partition_of, 1, 12)[:3], 12) is None, "of a few nothing is said"
