"""The labelled neighbours as one object: a start takes it and reads the rest, or leaves it and reads everything."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import numpy as np
import pytest

from infra.memory_store import MemoryStore
from processors.errors import Poison
from streams.contract import topics
from streams.engine.message import Message
from streams.roles.caption.neighbour_snapshot import NeighbourSnapshots, Restored, encode, restore
from streams.roles.caption.neighbours import Neighbourhood
from streams.wiring.caption import Known
from tests.unit.streams.roles.test_role_caption import VOTED, item, message

BOUNDS = {0: (0, 30), 1: (5, 9)}
OFFSETS = {0: 20, 1: 9}


def known(count: int = 20) -> Neighbourhood:
    found = Neighbourhood(VOTED.voted())
    for number in range(count):
        found.apply(message(item(f"sku-{number}", angle=number / 10, fabric="linen" if number % 2 else "silk"), number))
    return found


def nearest(of: Neighbourhood) -> list[tuple[str, float, dict[str, str]]]:
    vector = np.array([1.0, 0.0], dtype=np.float32)
    found = of.find("sha256:e", "", "dress", vector, 5, "sku-3")
    return [(one.product_id, one.similarity, dict(one.labels)) for one in found]


def test_what_is_restored_votes_as_before() -> None:
    """The same neighbours, similarities and labels, to the bit; and the offsets to read on from."""
    data = encode(known().entries(), OFFSETS, "topic", 1000.0)
    fresh = Neighbourhood(VOTED.voted())
    assert restore(data, fresh, BOUNDS, "topic", 1060.0) == Restored(OFFSETS, 20)
    assert nearest(fresh) == nearest(known())
    assert encode(fresh.entries(), OFFSETS, "topic", 1000.0) == data
    # What comes after it counts as ever: the newer wins, a delete deletes, an older record of a product does not.
    fresh.apply(message(item("sku-0", angle=3.0, fabric="wool"), 25))
    fresh.apply(message(item("sku-1", angle=0.0, fabric="wool"), 0))
    assert [name for name, _, _ in nearest(fresh)][:1] == ["sku-1"]
    assert all(labels["fabric"] != "wool" for _, _, labels in nearest(fresh))


@pytest.mark.parametrize("at", [0, 31, 32, 40, 200, -1])
def test_damage_is_found_wherever_it_is(at: int) -> None:
    """One flipped bit, or a missing end."""
    data = encode(known().entries(), OFFSETS, "topic", 1000.0)
    flipped = bytearray(data)
    flipped[at] ^= 1
    for damaged in (bytes(flipped), data[:-1], b"", b"x"):
        with pytest.raises(Poison, match="checksum"):
            restore(damaged, Neighbourhood(VOTED.voted()), BOUNDS, "topic", 1060.0)


@pytest.mark.parametrize(
    ("topic_id", "now", "bounds", "field"),
    [
        ("another", 1060.0, BOUNDS, "topic_id"),
        ("topic", 1000.0 + 25 * 3600, BOUNDS, "made"),
        ("topic", 999.0, BOUNDS, "made"),
        ("topic", 1060.0, {0: (0, 19), 1: (5, 9)}, "offsets"),
        ("topic", 1060.0, {0: (21, 30), 1: (5, 9)}, "offsets"),
        ("topic", 1060.0, {0: (0, 30)}, "offsets"),
    ],
)
def test_one_of_another_log_is_refused(
    topic_id: str, now: float, bounds: dict[int, tuple[int, int]], field: str
) -> None:
    """Of a topic made anew, so old that a delete may be forgotten, or beyond what the partition holds."""
    data = encode(known().entries(), OFFSETS, "topic", 1000.0)
    with pytest.raises(Poison) as refused:
        restore(data, Neighbourhood(VOTED.voted()), bounds, topic_id, now)
    assert refused.value.field == field


async def test_a_snapshot_that_cannot_be_used_leaves_nothing_behind() -> None:
    """Everything is read then, into an empty neighbourhood; another choice of facets has a snapshot of its own."""
    store = MemoryStore("test")
    snapshots = NeighbourSnapshots(store, VOTED.voted(), lambda: 1000.0)
    fresh = Neighbourhood(VOTED.voted())
    assert await snapshots.take(fresh, BOUNDS, "topic") == Restored()
    await snapshots.write(known(), OFFSETS, "topic")
    assert await snapshots.take(fresh, BOUNDS, "topic") == Restored(OFFSETS, 20)
    assert nearest(fresh) == nearest(known())
    other = NeighbourSnapshots(store, ("gender",), lambda: 1000.0)
    assert await other.take(Neighbourhood(("gender",)), BOUNDS, "topic") == Restored()
    store.put(snapshots.key, store.get(snapshots.key)[:-3])
    again = Neighbourhood(VOTED.voted())
    assert await snapshots.take(again, BOUNDS, "topic") == Restored()
    assert again.entries() == []


def test_shops_are_forgotten_before_memory_is() -> None:
    """The one whose last product came longest ago gives way; what is left is whole."""
    found = Neighbourhood(VOTED.voted(), most=600)
    for number in range(2000):
        shop = ("old", "middle", "new")[min(number // 500, 2)]
        product = item(f"sku-{number}", angle=number / 1000, fabric="linen")
        of = msgspec.structs.replace(product, shop=shop)
        found.apply(message(of, number))
    assert {one.product.split("/")[2] for one in found.entries()} == {"new"}
    assert len(found.entries()) == 1000


class Items:
    """`catalog.items` of one partition, as a `Reader` gives it."""

    def __init__(self, records: list[Message], topic_id: str = "topic") -> None:
        self.records, self.id, self.start, self.read = records, topic_id, 0, 0

    async def topic_id(self) -> str:
        return self.id

    async def bounds(self) -> dict[int, tuple[int, int]]:
        return {0: (0, len(self.records))}

    async def read_from(self, positions: dict[int, int]) -> None:
        self.start = positions.get(0, 0)

    async def to_end(self) -> AsyncIterator[Message]:
        for record in self.records[self.start :]:
            self.read += 1
            yield record


async def test_a_start_reads_the_tail_only() -> None:
    """Of 1,500 items the first start reads all, the next what came since; after damage, and for a topic made anew, all again."""
    store = MemoryStore("test")
    records = [
        message(item(f"sku-{n % 40}", angle=n / 10, fabric="linen" if n % 2 else "silk"), n) for n in range(1500)
    ]

    async def start(items: Items) -> Neighbourhood:
        found = Neighbourhood(VOTED.voted())
        await Known(found, items, NeighbourSnapshots(store, VOTED.voted(), lambda: 1000.0)).catch_up()  # type: ignore[arg-type]
        return found

    first, second = Items(records[:1400]), Items(records)
    await start(first)
    restored = await start(second)
    assert (first.read, second.read) == (1400, 100)
    plain = Neighbourhood(VOTED.voted())
    for record in records:
        plain.apply(record)
    assert nearest(restored) == nearest(plain)
    [key] = store.list("neighbours/")
    store.put(key, store.get(key)[:-1] + b"x")
    third, anew = Items(records), Items(records, "made-anew")
    assert nearest(await start(third)) == nearest(plain)
    await start(anew)
    assert (third.read, anew.read) == (1500, 1500)


def test_another_price_leaves_a_neighbour_as_it_is_and_other_facts_do_not() -> None:
    """By what neighbours say; one that gave way to others, or was deleted, comes back with its next price."""

    def priced(product: str, price: float, offset: int, **said: str) -> Message:
        of = item(product, **said)
        dearer = msgspec.structs.replace(of, metadata=msgspec.structs.replace(of.metadata, price=price))
        return message(dearer, offset)

    def labels(of: Neighbourhood) -> dict[str, dict[str, str]]:
        found = of.find("sha256:e", "", "dress", np.array([1.0, 0.0], dtype=np.float32), 5, "")
        return {one.product_id: dict(one.labels) for one in found}

    small = Neighbourhood(VOTED.voted(), capacity=1)
    small.apply(priced("a", 1.0, 0, fabric="silk"))
    before = small.entries()
    small.apply(priced("a", 2.0, 1, fabric="silk"))
    assert [one.version for one in small.entries()] == [one.version for one in before] == [0]
    small.apply(priced("a", 2.0, 2, fabric="linen"))
    assert labels(small) == {"a": {"fabric": "linen"}}
    small.apply(priced("b", 2.0, 3, fabric="silk"))
    assert set(labels(small)) == {"b"}
    small.apply(priced("a", 3.0, 4, fabric="linen"))
    assert set(labels(small)) == {"a"}
    small.apply(Message(topics.ITEMS, 0, 5, b"a", None))
    assert labels(small) == {}
    small.apply(priced("a", 3.0, 6, fabric="linen"))
    assert set(labels(small)) == {"a"}
