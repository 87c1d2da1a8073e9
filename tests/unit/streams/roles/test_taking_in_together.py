"""Uploads that have arrived together become the same as one by one, with fewer records and writes."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from infra.fetch import Fetcher
from infra.memory_store import MemoryStore
from infra.settings import Settings
from processors.errors import Retryable
from streams.contract import topics
from streams.contract.codecs import decode_item
from streams.contract.records import Item
from streams.engine.message import ANSWER, Message
from streams.roles import enrich as enrich_module
from streams.roles import taking_in as taking_in_module
from streams.roles.outcome import Stands
from tests.unit.streams.roles.test_taking_in import CountingStore, Shop, full, inline, part, picture, stored, upload


class Many(Shop):
    """A process that reads and publishes what has arrived together at once."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        super().__init__(store)
        self.enrich = replace(self.enrich, kept_all=self.products.peek_all)

    async def take_all(self, messages: list[Message]) -> list[Item | None]:
        """The items that were published, once all may be acknowledged."""
        before = len(self.sender.sent)
        done = await self.enrich.read_all(messages)
        results = [
            (m, await self.worked_out(m) if one is None else one.result) for m, one in zip(messages, done, strict=True)
        ]
        found = await self.taking_in.publish_all(results)
        if found is None:
            found = [await self.publish(message, outcome) for message, outcome in results]
        self.sender.deliver()
        await asyncio.gather(*(one for deliveries in found for one in deliveries))
        return [None if value is None else decode_item(value) for value, _ in self.sender.sent[before:]]


def of(product: str, offset: int, **fields: Any) -> Message:
    value = msgspec.json.encode({"product_id": product, **fields})
    return Message(topics.UPLOADS, 0, offset, product.encode(), value, (), 1_000 + offset)


def removal(offset: int) -> Message:
    return Message(topics.UPLOADS, 0, offset, b"sku-1", None, (), 1_000 + offset)


async def test_the_last_of_what_has_arrived_together_is_published_once_a_product() -> None:
    """Three prices and stocks of one product and one of another: two items, each what its uploads leave one by one. A word in between
    has an item of its own, with what came before it.
    """
    shop = Many()
    for n, product in enumerate(("sku-1", "sku-2")):
        await shop.take(of(product, n, image=inline(picture()), metadata={"title": "A dress", "price": 1}))
    messages = [
        of("sku-1", 2, metadata={"price": 2}),
        of("sku-2", 3, metadata={"price": 9, "title": None}),
        of("sku-1", 4, metadata={"stock": True}),
        of("sku-1", 5, metadata={"price": 3}),
    ]
    items = await shop.take_all(messages)
    found = {item.product_id: item for item in items if item is not None}
    assert len(items) == 2
    one, two = found["sku-1"], found["sku-2"]
    assert (one.metadata.price, one.metadata.in_stock, one.metadata.title) == (3, True, "A dress")
    assert (two.metadata.price, two.metadata.title) == (9, "")
    assert (one.source.offset, two.source.offset) == (5, 3)
    assert len(one.views) > 0
    assert shop.detector.seen == 1
    by_one = Many()
    for n, product in enumerate(("sku-1", "sku-2")):
        await by_one.take(of(product, n, image=inline(picture()), metadata={"title": "A dress", "price": 1}))
    last = {item.product_id: item for m in messages if isinstance(item := await by_one.take(m), Item)}
    assert last == found
    words = [
        of("sku-1", n, metadata=said) for n, said in ((6, {"price": 7}), (7, {"season": "summer"}), (8, {"price": 8}))
    ]
    told = [(item.metadata.price, item.source.offset) for item in await shop.take_all(words) if item is not None]
    assert told == [(7, 6), (7, 7), (8, 8)]


@pytest.mark.parametrize("seed", range(6))
async def test_together_or_one_by_one_a_product_becomes_the_same(seed: int) -> None:
    """Parts, versions out of order, deletions, whole uploads, in any cut, with a death in between: one state, one item."""
    rng = np.random.default_rng(seed)

    def drawn(offset: int) -> Message:
        choice = rng.integers(0, 8)
        if choice == 0 and offset > 4:
            return removal(offset)
        if choice == 1:
            return full(offset, int(rng.choice([90, 200])), metadata={"title": f"No. {offset}"})
        version = {} if choice < 5 else {"version": int(rng.integers(1, 9))}
        value = None if choice == 2 else int(rng.integers(0, 4))
        return upload(offset, metadata={str(rng.choice(["price", "stock", "mood"])): value}, **version)

    messages = [full(0), *(drawn(offset) for offset in range(1, 40))]
    single = Shop()
    for message in messages:
        await single.take(message)
    many, at = Many(), 0
    last: Item | None = None
    told: dict[bytes, set[bytes | None]] = {}
    while at < len(messages):
        before = len(many.sender.sent)
        size = int(rng.integers(1, 9))
        for item in await many.take_all(messages[at : at + size]):
            last = item
        for value, headers in many.sender.sent[before:]:
            told.setdefault(headers["ce_id"], set()).add(value)
        if rng.random() < 0.2:  # it dies, and the last ones come again
            many = Many(many.store)
            at = max(0, at - 3)
        at += size
    assert all(len(values) == 1 for values in told.values()), "an event is the same whenever it is told"
    one, other = await single.successor().product("sku-1"), await many.successor().product("sku-1")
    assert one.metadata == other.metadata
    assert (one.photos, one.alive, one.latest) == (other.photos, other.alive, other.latest)
    standing = decode_item(single.sender.sent[-1][0]) if single.sender.sent[-1][0] else None
    assert (last and (last.metadata, last.views)) == (standing and (standing.metadata, standing.views))


async def test_what_is_out_of_the_ordinary_goes_by_itself() -> None:
    """An answer that somebody waits for, a bad field, a photo that is not known: each as if it had come alone."""
    shop = Many()
    await shop.take(full(0))
    awaited = upload(1, metadata={"price": 1}, headers=[(ANSWER, b"x")])
    bad = upload(2, metadata={"tags": 5})
    other = full(3, 90)
    plain = part(4, price=4)
    found = await shop.enrich.read_all([awaited, bad, other, plain])
    assert [one is None for one in found] == [True, True, True, False]
    results = [(awaited, await shop.worked_out(awaited)), (plain, await shop.worked_out(plain))]
    assert await shop.taking_in.publish_all(results) is None


async def test_a_lost_delivery_of_those_published_together_takes_all_along() -> None:
    """None is acknowledged, and sent one by one they give what they would have given."""
    shop = Many()
    await shop.take(full(0))
    messages = [part(1, price=5), part(2, season="summer")]
    results = [(m, one.result) for m, one in zip(messages, await shop.enrich.read_all(messages), strict=True) if one]
    found = await shop.taking_in.publish_all(results)
    assert found is not None
    shop.sender.deliveries[-1].set_exception(Retryable("the broker is away"))
    shop.sender.deliver()  # the other one comes through
    for deliveries in found:
        with pytest.raises(Retryable):
            await asyncio.gather(*deliveries)
    assert (await shop.successor().product("sku-1")).metadata == {"title": "A dress"}
    for message in messages:
        assert isinstance(await shop.take(message), Item)
    assert (shop.last.metadata.price, shop.last.metadata.facets) == (5, {"season": "summer"})


async def test_unchanged_uploads_that_arrive_together_publish_and_write_nothing() -> None:
    """Of photos that lie in the store it is looked whether they are there; one that is gone is asked for by itself."""
    shop = Many(CountingStore())
    store = shop.store
    assert isinstance(store, CountingStore)
    shop.enrich = replace(shop.enrich, fetcher=Fetcher(Settings(), store))
    await shop.take(stored(shop, 0))
    store.written = []
    messages = [stored(shop, offset) for offset in (1, 2, 3)]
    assert await shop.take_all(messages) == []
    assert store.written == []
    assert shop.told[-3:] == [Stands()] * 3
    for key in list(store.list("images/")):
        store.delete(key)
    again = [upload(o, image={"uri": key}, metadata={"title": "A dress", "price": 5}) for o in (4, 5)]
    assert await shop.enrich.read_all(again) == [None, None]


async def test_what_comes_again_together_behind_newer_ones_is_told_as_one_by_one() -> None:
    """A worker died before it committed: under the id of a part stands no deletion that came after it."""
    messages = [full(0), part(1, price=5), removal(2)]
    shop = Many()
    for message in messages:
        await shop.take(message)
    together, single = Many(shop.store), shop.successor()
    await together.take_all(messages[1:])
    for message in messages[1:]:
        await single.take(message)
    assert together.sender.sent == single.sender.sent
    assert [headers["ce_id"] for _, headers in together.sender.sent] == [shop.sender.sent[-1][1]["ce_id"]]
    await together.take_all(messages[1:2])
    assert len(together.sender.sent) == 1


async def test_a_part_may_say_a_column_under_another_name() -> None:
    """A table said "in_stock", and a till says "stock": the newer counts, and not the name that is looked at first."""
    shop = Shop()
    await shop.take(full(0, metadata={"title": "A dress", "in_stock": "2", "price": 5}))
    assert shop.last.metadata.in_stock is True
    await shop.take(part(1, stock=0))
    assert (shop.last.metadata.in_stock, shop.last.metadata.price) == (False, 5)
    await shop.take(part(2, in_stock=True))
    assert shop.last.metadata.in_stock is True
    await shop.take(part(3, in_stock=None))
    assert shop.last.metadata.in_stock is None


async def test_others_have_their_turn_between_many_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is urgent does not wait until all products of a price list are read and made; a few are done at once."""
    shop = Many()
    products = [f"sku-{number}" for number in range(9)]
    for offset, product in enumerate(products):
        await shop.take(of(product, offset, image=inline(picture()), metadata={"price": 1}))
    turns = 0

    class Counted:
        """`asyncio` to a module, whose `sleep` is counted: how often the loop itself came round depends on threads, too."""

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

        async def sleep(self, seconds: float) -> None:
            nonlocal turns
            turns += 1
            await asyncio.sleep(seconds)

    for module in (enrich_module, taking_in_module):
        monkeypatch.setattr(module, "asyncio", Counted())

    async def seen(price: int, first: int) -> tuple[int, int]:
        messages = [of(product, first + n, metadata={"price": price}) for n, product in enumerate(products)]
        before = turns
        done = await shop.enrich.read_all(messages)
        read = turns
        results = [(m, one.result) for m, one in zip(messages, done, strict=True) if one is not None]
        found = await shop.taking_in.publish_all(results)
        published = turns
        assert found is not None
        shop.sender.deliver()
        await asyncio.gather(*{one for deliveries in found for one in deliveries})
        return read - before, published - read

    assert await seen(2, 100) == (0, 0)
    for module in (enrich_module, taking_in_module):
        monkeypatch.setattr(module, "AT_A_TIME", 2)
    read, published = await seen(3, 200)
    assert read == len(products) // 2
    assert published == 2 * (len(products) // 2)  # as they are made, and as they are stated
