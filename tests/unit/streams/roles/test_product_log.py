"""States that were written together: found again, folded, and never written over, whoever believes the partition to be his."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from infra.memory_store import MemoryStore
from processors.errors import Retryable
from processors.product import Product, Said, Stamp
from streams.roles import product_log
from streams.roles.product_log import ProductLog, by_partition, write_own
from streams.roles.product_states import Kept
from streams.roles.products import Products, Stated
from tests.fakes.products import products_in


def kept(price: float, number: int = 0) -> Kept:
    at = Stamp(None, 1, 0, int(price))
    return Kept(Product({"price": Said(price, at)}, touched=at), b"x", "items", number=number)


def state(product: str, number: int, price: float = 1.0) -> product_log.State:
    return (product, number, msgspec.msgpack.encode(kept(price, number)))


def log_of(store: MemoryStore) -> ProductLog:
    found = ProductLog(store, "products/t/log/0/")
    found.refresh()
    return found


def prices(log: ProductLog) -> dict[str, float]:
    return {
        product: msgspec.msgpack.decode(one.data, type=Kept).product.metadata["price"]
        for product, one in log.states.items()
    }


def test_a_successor_finds_the_newest_of_each() -> None:
    """Whatever the order of what was written."""
    store = MemoryStore("test")
    log = log_of(store)
    log.append([state("a", 1, 1), state("b", 1, 2)])
    log.append([state("a", 2, 3)])
    assert prices(log_of(store)) == prices(log) == {"a": 3, "b": 2}


def test_the_second_of_two_writers_begins_anew() -> None:
    """It has then read what the other wrote, and its next write is behind it."""
    store = MemoryStore("test")
    old, new = log_of(store), log_of(store)
    new.append([state("a", 1, 1)])
    with pytest.raises(Retryable):
        old.append([state("a", 1, 9)])
    assert prices(old) == {"a": 1}
    old.append([state("a", 2, 9)])
    assert prices(log_of(store)) == {"a": 9}


def test_who_wakes_behind_a_fold_writes_nothing() -> None:
    """The number that it was to write is free again, and lies below the floor."""
    store = MemoryStore("test")
    old, new = log_of(store), log_of(store)
    for number in range(1, 4):
        new.append([state("a", number, number)])
    assert new.gathered() is None, "one product: it stays in the log"
    with pytest.raises(Retryable):
        old.append([state("a", 1, 99)])
    assert prices(old) == prices(log_of(store)) == {"a": 3}
    old.append([state("a", 4, 4)])
    assert prices(log_of(store)) == {"a": 4}


def test_many_states_go_to_the_objects_of_their_products() -> None:
    """A newer one that is there already stays; what was changed while they were written stays in the log."""
    store = MemoryStore("test")
    log = log_of(store)
    count = product_log.FEW + 1
    log.append([state(f"sku-{n}", 2) for n in range(count)])
    store.put("own/sku-0", msgspec.msgpack.encode(kept(7, 3)))
    gathered = log.gathered()
    assert gathered is not None
    end, states = gathered
    log.append([state("sku-1", 3, 8)])
    write_own(
        store, states, lambda product: f"own/{product}", lambda data: msgspec.msgpack.decode(data, type=Kept).number
    )
    log.drop(end)
    assert prices(log) == prices(log_of(store)) == {"sku-1": 8}
    assert msgspec.msgpack.decode(store.get("own/sku-0"), type=Kept).number == 3
    assert msgspec.msgpack.decode(store.get("own/sku-2"), type=Kept).number == 2


def test_what_was_taken_out_is_not_folded() -> None:
    """A product that is forgotten does not come back out of the memory of the worker that holds the partition."""
    store = MemoryStore("test")
    log = log_of(store)
    log.append([state("a", 1), state("b", 1)])
    assert product_log.without(store, "products/", lambda product: product == "a") == 1
    assert log.gathered() is None
    assert set(log.states) == {"b"}


def test_a_log_that_was_folded_away_is_still_known_by_its_floor() -> None:
    """Nothing but the floor is left: the next number is behind it."""
    store = MemoryStore("test")
    log = log_of(store)
    log.append([state("a", 1)])
    log.drop(1)
    assert by_partition(store.list("products/t/log/"), "products/t/log/") == {0: []}
    log_of(store).append([state("a", 2)])
    assert set(log_of(store).states) == {"a"}


async def stand(products: Products, product: str, price: float, partition: int = 0) -> None:
    known = await products.now(product)
    delivered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    delivered.set_result(None)
    await products.stands(partition, [Stated(product, known, kept(price), [delivered])])


async def price_of(products: Products, product: str) -> float:
    return (await products.now(product)).kept.product.metadata["price"]


async def test_a_product_whose_partition_changed_is_found_in_the_log_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Partitions were added: its newest state lies in another log, and then in its own object."""
    monkeypatch.setattr(product_log, "FEW", 0)
    monkeypatch.setattr(product_log, "MOST_SEGMENTS", 2)
    store = MemoryStore("test")
    old = products_in(store)
    await stand(old, "a", 1, partition=3)
    new = products_in(store)
    assert await price_of(new, "a") == 1
    await stand(new, "a", 2, partition=15)
    for price in range(5):
        await stand(old, "b", price, partition=3)
        if (folder := old._logs._logs[3].folder) is not None:
            await folder
    assert not old._logs._logs[3].log.states or "a" not in old._logs._logs[3].log.states
    assert await price_of(products_in(store), "a") == 2


async def test_who_only_reads_sees_what_is_written_and_folded_meanwhile() -> None:
    """As a replay does beside the role."""
    store = MemoryStore("test")
    role = products_in(store)
    await stand(role, "a", 1)
    reader = Products(store, role._uploads, role._items, asyncio.to_thread, fresh_s=0.0)
    assert await price_of(reader, "a") == 1
    await stand(role, "a", 2)
    assert await price_of(reader, "a") == 2


async def test_a_partition_that_comes_back_is_read_anew() -> None:
    """Another worker wrote to it meanwhile; what is on its way here counts no more."""
    store = MemoryStore("test")
    ours, theirs = products_in(store), products_in(store)
    await stand(ours, "a", 1)
    lost: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    late = ours.stands(0, [Stated("a", await ours.now("a"), kept(5), [lost])])
    ours.revoked({0})
    await stand(theirs, "a", 2)
    ours.begin()
    assert await price_of(ours, "a") == 2
    lost.set_result(None)
    with pytest.raises(Retryable):
        await late
    assert await price_of(products_in(store), "a") == 2


async def test_a_store_that_is_away_keeps_nothing_and_is_asked_again() -> None:
    """Who waits is told; the next attempt is kept."""

    class Away(MemoryStore):
        away = False

        def create(self, key: str, data: bytes, *, content_type: str = "") -> bool:
            if self.away:
                raise Retryable("away")
            return super().create(key, data, content_type=content_type)

    store = Away("test")
    products = products_in(store)
    await stand(products, "a", 1)
    store.away = True
    delivered: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    delivered.set_result(None)
    with pytest.raises(Retryable):
        await products.stands(0, [Stated("a", await products.now("a"), kept(2), [delivered])])
    store.away = False
    assert await price_of(products_in(store), "a") == 1


def test_an_old_object_of_a_product_has_no_number() -> None:
    """What was kept before there were logs is read as the oldest."""
    old = msgspec.msgpack.encode({"digest": b"x", "topic": "items"})
    assert msgspec.msgpack.decode(old, type=Kept).number == 0
